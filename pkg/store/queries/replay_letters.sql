-- Lets open letters wait again, due at once, and tells the audit who did it and why. One
-- that is being settled or replayed is waited for, in the order in which settling locks
-- letters: afterwards it is open, or it is not. An operator gives what was read in vain
-- its attempts anew.
WITH chosen AS (
    SELECT l.mchid, l.delivery_id
    FROM dead_letters AS l
    WHERE l.delivery_id = ANY ($1::uuid[]) AND l.state = 'open'
      AND l.kind IN ('notify_v3', 'notify_v2_pay', 'notify_v2_refund')
    ORDER BY l.mchid, l.delivery_id
    LIMIT $2
    FOR UPDATE
), replayed AS (
    UPDATE dead_letters AS l
    SET state = 'waiting', next_retry_at = now()
    FROM chosen AS c
    WHERE l.mchid = c.mchid AND l.delivery_id = c.delivery_id
    RETURNING l.mchid, l.delivery_id, l.reason, l.first_failed_at
), audited AS (
    INSERT INTO audit (mchid, audit_id, actor, action, subject, detail)
    SELECT r.mchid, gen_random_uuid(), $3, 'dead_letter.replay', r.delivery_id::text,
           jsonb_build_object('reason', $4::text, 'letter_reason', r.reason)
    FROM replayed AS r
), forgotten AS (
    DELETE FROM delivery_attempts AS a
    USING replayed AS r
    WHERE a.mchid = r.mchid AND a.delivery_id = r.delivery_id
)
SELECT r.delivery_id
FROM replayed AS r
ORDER BY r.first_failed_at, r.delivery_id
