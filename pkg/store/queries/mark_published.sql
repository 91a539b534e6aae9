-- Moves events that the broker acknowledged. Rows are locked in the order of
-- their key: the fast path and the sweep may bring the same events at once.
WITH receipts AS (
    SELECT DISTINCT ON (event_id) event_id, stream_sequence, duplicate, at
    FROM unnest($1::uuid[], $2::bigint[], $3::boolean[], $4::timestamptz[]) AS r (event_id, stream_sequence, duplicate, at)
    ORDER BY event_id, duplicate
), present AS (
    SELECT o.event_id
    FROM outbox AS o
    JOIN receipts AS r ON r.event_id = o.event_id
    ORDER BY o.event_id
    FOR UPDATE OF o
), moved AS (
    DELETE FROM outbox AS o
    USING present AS p
    WHERE o.event_id = p.event_id
    RETURNING o.event_id, o.mchid, o.out_trade_no, o.fact, o.payload, o.created_at
)
INSERT INTO published (event_id, mchid, out_trade_no, fact, payload, created_at, published_at, stream_sequence, duplicate)
SELECT m.event_id, m.mchid, m.out_trade_no, m.fact, m.payload, m.created_at, coalesce(r.at, now()), r.stream_sequence, r.duplicate
FROM moved AS m
JOIN receipts AS r ON r.event_id = m.event_id
