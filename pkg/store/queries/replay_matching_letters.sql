-- As replay_letters, for the oldest open letters of a merchant and a reason, either of
-- which may be empty. Those that are being settled or replayed are passed over.
WITH chosen AS (
    SELECT l.mchid, l.delivery_id
    FROM dead_letters AS l
    WHERE l.state = 'open' AND ($1 = '' OR l.mchid = $1) AND ($2 = '' OR l.reason = $2)
      AND l.first_failed_at >= $3::timestamptz
      AND l.kind IN ('notify_v3', 'notify_v2_pay', 'notify_v2_refund')
    ORDER BY l.first_failed_at, l.delivery_id
    LIMIT $4
    FOR UPDATE SKIP LOCKED
), replayed AS (
    UPDATE dead_letters AS l
    SET state = 'waiting', next_retry_at = now()
    FROM chosen AS c
    WHERE l.mchid = c.mchid AND l.delivery_id = c.delivery_id
    RETURNING l.mchid, l.delivery_id, l.reason, l.first_failed_at
), audited AS (
    INSERT INTO audit (mchid, audit_id, actor, action, subject, detail)
    SELECT r.mchid, gen_random_uuid(), $5, 'dead_letter.replay', r.delivery_id::text,
           jsonb_build_object('reason', $6::text, 'letter_reason', r.reason)
    FROM replayed AS r
), forgotten AS (
    DELETE FROM delivery_attempts AS a
    USING replayed AS r
    WHERE a.mchid = r.mchid AND a.delivery_id = r.delivery_id
)
SELECT r.delivery_id
FROM replayed AS r
ORDER BY r.first_failed_at, r.delivery_id
