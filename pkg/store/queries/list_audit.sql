-- A page of the audit log, the newest first.
SELECT mchid, audit_id, at, actor, action, subject, detail
FROM audit
WHERE at >= $1::timestamptz AND at <= $2::timestamptz AND (at, audit_id) < ($2::timestamptz, $3::uuid)
ORDER BY at DESC, audit_id DESC
LIMIT $4
