-- A page of living subscribers, the newest first.
SELECT subscriber_id, name, mchid, nkey, array_to_string(facts, ',') AS facts, from_at, stream_created_at, starts_after, created_at, created_by, removed_at
FROM subscribers
WHERE removed_at IS NULL AND ($1 = '' OR mchid = $1)
  AND created_at >= $2::timestamptz AND (created_at, subscriber_id) < ($3::timestamptz, $4::uuid)
ORDER BY created_at DESC, subscriber_id DESC
LIMIT $5
