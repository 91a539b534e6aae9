-- One delivery of the archive with its bytes, by its id alone. Each merchant is found by
-- hopping through their key, which begins with it.
WITH RECURSIVE shops AS (
    SELECT min(d.mchid) AS mchid FROM deliveries AS d
    UNION ALL
    SELECT (SELECT min(d.mchid) FROM deliveries AS d WHERE d.mchid > s.mchid)
    FROM shops AS s
    WHERE s.mchid IS NOT NULL
)
SELECT p.mchid, p.delivery_id, p.kind, p.received_at, p.headers, p.body, p.trace_parent, p.stream, p.stream_sequence,
       p.stream_index, p.key_id, p.notification_id, p.event_type, p.out_trade_no, p.transaction_id
FROM shops AS s CROSS JOIN LATERAL (
    SELECT d.mchid, d.delivery_id, d.kind, d.received_at, d.headers, d.body, d.trace_parent, d.stream, d.stream_sequence,
           d.stream_index, d.key_id, d.notification_id, d.event_type, d.out_trade_no, d.transaction_id
    FROM deliveries AS d
    WHERE d.mchid = s.mchid AND d.delivery_id = $1::uuid
    LIMIT 1
) AS p
ORDER BY p.mchid
LIMIT 1
