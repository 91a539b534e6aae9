-- Leases the oldest events that nobody is publishing. No cursor: an event whose
-- transaction commits late is simply still there at the next sweep.
WITH due AS (
    SELECT event_id
    FROM outbox
    WHERE created_at <= now() - make_interval(secs => $1)
      AND (claimed_until IS NULL OR claimed_until <= now())
    ORDER BY created_at
    LIMIT $2
    FOR UPDATE SKIP LOCKED
), claimed AS (
    UPDATE outbox AS o
    SET claimed_until = now() + make_interval(secs => $3)
    FROM due
    WHERE o.event_id = due.event_id
    RETURNING o.event_id, o.mchid, o.out_trade_no, o.fact, o.payload, o.created_at
)
SELECT event_id, mchid, out_trade_no, fact, payload, created_at
FROM claimed
ORDER BY created_at, event_id
