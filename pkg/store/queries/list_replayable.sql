-- A page of archived notifications, the oldest first: a delivery's id begins with the
-- moment of its arrival. What a person discarded is not among them. Merchants are
-- hopped through as in list_deliveries: one may have notifications and no order.
WITH RECURSIVE shops AS (
    SELECT coalesce(nullif($1, ''), (SELECT min(d.mchid) FROM deliveries AS d)) AS mchid
    UNION ALL
    SELECT (SELECT min(d.mchid) FROM deliveries AS d WHERE d.mchid > s.mchid AND $1 = '')
    FROM shops AS s
    WHERE s.mchid IS NOT NULL
)
SELECT d.mchid, d.delivery_id, d.kind, d.received_at, d.event_type, d.out_trade_no
FROM shops AS s CROSS JOIN LATERAL (
    SELECT a.mchid, a.delivery_id, a.kind, a.received_at, a.event_type, a.out_trade_no
    FROM deliveries AS a
    WHERE a.mchid = s.mchid AND a.delivery_id >= $2::uuid AND a.delivery_id < $3::uuid AND a.delivery_id > $4::uuid
      AND a.kind IN ('notify_v3', 'notify_v2_pay', 'notify_v2_refund')
      AND NOT EXISTS (SELECT FROM dead_letters AS l WHERE l.mchid = a.mchid AND l.delivery_id = a.delivery_id AND l.state = 'discarded')
    ORDER BY a.delivery_id
    LIMIT $5
) AS d
ORDER BY d.delivery_id, d.mchid
LIMIT $5
