-- Removes a living subscriber, has its consumer looked at at once, and tells the audit
-- how many events it leaves unacknowledged (NULL: nobody could say).
WITH removed AS (
    UPDATE subscribers
    SET removed_at = now(), removed_by = $2, next_look_at = now()
    WHERE subscriber_id = $1 AND removed_at IS NULL
    RETURNING name, mchid, nkey, removed_by
), audited AS (
    INSERT INTO audit (mchid, audit_id, actor, action, subject, detail)
    SELECT r.mchid, gen_random_uuid(), r.removed_by, 'subscriber.remove', r.name,
           jsonb_strip_nulls(jsonb_build_object('reason', $3::text, 'nkey', r.nkey, 'unacknowledged', $4::bigint))
    FROM removed AS r
)
SELECT count(*) FROM removed
