-- Keeps the bytes of every delivery, once, and closes the letters of those that
-- are settled now. Nothing is decided by what the archive holds. A letter that
-- an operator discarded stays discarded. Both inputs are sorted by key.
WITH archived AS (
    INSERT INTO deliveries (mchid, delivery_id, kind, received_at, headers, body, trace_parent, stream, stream_sequence,
                            stream_index, key_id, notification_id, event_type, out_trade_no, transaction_id)
    SELECT d.mchid, d.delivery_id, d.kind, d.received_at, d.headers, d.body, d.trace_parent, d.stream, d.stream_sequence,
           d.stream_index, d.key_id, d.notification_id, d.event_type, d.out_trade_no, d.transaction_id
    FROM unnest($1::text[], $2::uuid[], $3::text[], $4::timestamptz[], $5::text[], $6::bytea[], $7::text[], $8::text[],
                $9::bigint[], $10::bigint[], $11::text[], $12::text[], $13::text[], $14::text[], $15::text[])
        AS d (mchid, delivery_id, kind, received_at, headers, body, trace_parent, stream, stream_sequence, stream_index,
              key_id, notification_id, event_type, out_trade_no, transaction_id)
    ON CONFLICT (mchid, delivery_id) DO NOTHING
), settled AS (
    SELECT l.mchid, l.delivery_id
    FROM unnest($16::text[], $17::uuid[]) AS k (mchid, delivery_id)
    JOIN dead_letters AS l ON l.mchid = k.mchid AND l.delivery_id = k.delivery_id
    WHERE l.state IN ('waiting', 'open', 'replaying')
    ORDER BY l.mchid, l.delivery_id
    FOR UPDATE OF l
)
UPDATE dead_letters AS l
SET state = 'resolved', resolved_at = now(), next_retry_at = NULL
FROM settled AS s
WHERE l.mchid = s.mchid AND l.delivery_id = s.delivery_id
