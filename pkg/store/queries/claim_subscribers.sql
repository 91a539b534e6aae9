-- Leases the subscribers whose consumer is due to be looked at, each with the latest
-- sample of it.
WITH due AS (
    SELECT subscriber_id
    FROM subscribers
    WHERE dropped_at IS NULL AND next_look_at <= now()
    ORDER BY next_look_at
    LIMIT $1
    FOR UPDATE SKIP LOCKED
), claimed AS (
    UPDATE subscribers AS s
    SET next_look_at = now() + make_interval(secs => $2)
    FROM due
    WHERE s.subscriber_id = due.subscriber_id
    RETURNING s.subscriber_id, s.name, s.mchid, s.nkey, s.facts, s.from_at, s.stream_created_at, s.starts_after, s.created_at, s.created_by, s.removed_at
)
SELECT c.subscriber_id, c.name, c.mchid, c.nkey, array_to_string(c.facts, ',') AS facts, c.from_at, c.stream_created_at, c.starts_after,
       c.created_at, c.created_by, c.removed_at, a.stream_created_at AS sample_stream, a.ack_floor, a.stored_at, a.sampled_at
FROM claimed AS c
CROSS JOIN LATERAL (
    SELECT k.stream_created_at, k.ack_floor, k.stored_at, k.sampled_at
    FROM subscriber_acks AS k
    WHERE k.subscriber_id = c.subscriber_id
    ORDER BY k.sampled_at DESC
    LIMIT 1
) AS a
ORDER BY c.subscriber_id
