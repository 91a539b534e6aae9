-- A stretch of the archive, the newest first: a delivery id begins with its millisecond.
-- $1 one merchant or '', $2 the first id of all that matter, $3 and $4 the row that the
-- stretch begins behind, $5 the first instant, $6 how many, $7 whether the bytes are
-- wanted. Each merchant is found by hopping through their key, which begins with it.
WITH RECURSIVE shops AS (
    SELECT coalesce(nullif($1, ''), (SELECT min(d.mchid) FROM deliveries AS d)) AS mchid
    UNION ALL
    SELECT (SELECT min(d.mchid) FROM deliveries AS d WHERE d.mchid > s.mchid AND $1 = '')
    FROM shops AS s
    WHERE s.mchid IS NOT NULL
)
SELECT p.mchid, p.delivery_id, p.kind, p.received_at, p.trace_parent, p.stream, p.stream_sequence, p.stream_index,
       p.key_id, p.notification_id, p.event_type, p.out_trade_no, p.transaction_id,
       CASE WHEN $7::boolean THEN p.headers ELSE '' END AS headers, CASE WHEN $7::boolean THEN p.body ELSE '' END AS body
FROM shops AS s CROSS JOIN LATERAL (
    SELECT d.mchid, d.delivery_id, d.kind, d.received_at, d.headers, d.body, d.trace_parent, d.stream, d.stream_sequence,
           d.stream_index, d.key_id, d.notification_id, d.event_type, d.out_trade_no, d.transaction_id
    FROM deliveries AS d
    WHERE d.mchid = s.mchid AND d.delivery_id >= $2::uuid AND d.delivery_id <= $3::uuid
      AND (d.delivery_id, d.mchid) < ($3::uuid, $4) AND d.received_at >= $5::timestamptz
    ORDER BY d.delivery_id DESC
    LIMIT $6
) AS p
ORDER BY p.delivery_id DESC, p.mchid DESC
LIMIT $6
