-- The orders that a number leads to: $1 as text, $2 as UUID where it is one, $3 one
-- merchant or ''. Each merchant that has orders is looked up by hopping through their
-- key, so that keys which begin with the merchant answer for all of them. Each LIMIT 1
-- is of a key, and keeps the planner from reading a table whole. Of several ways to one
-- order, the first counts.
WITH RECURSIVE shops AS (
    SELECT coalesce(nullif($3, ''), (SELECT o.mchid FROM orders AS o WHERE o.mchid > '' ORDER BY o.mchid LIMIT 1)) AS mchid
    UNION ALL
    SELECT (SELECT o.mchid FROM orders AS o WHERE o.mchid > s.mchid AND $3 = '' ORDER BY o.mchid LIMIT 1)
    FROM shops AS s
    WHERE s.mchid IS NOT NULL
), ways AS (
    SELECT 1 AS rank, 'out_trade_no' AS found_by, w.mchid, w.out_trade_no
    FROM shops AS s CROSS JOIN LATERAL (
        SELECT o.mchid, o.out_trade_no FROM orders AS o WHERE o.mchid = s.mchid AND o.out_trade_no = $1 LIMIT 1
    ) AS w
    UNION ALL
    SELECT 2, 'transaction_id', w.mchid, w.out_trade_no
    FROM shops AS s CROSS JOIN LATERAL (
        SELECT p.mchid, p.out_trade_no FROM payments AS p WHERE p.mchid = s.mchid AND p.transaction_id = $1 LIMIT 1
    ) AS w
    UNION ALL
    (SELECT 2, 'transaction_id', l.mchid, l.out_trade_no
     FROM dead_letters AS l
     WHERE l.transaction_id = $1 AND l.transaction_id <> '' AND ($3 = '' OR l.mchid = $3) LIMIT 100)
    UNION ALL
    SELECT 3, 'out_refund_no', w.mchid, w.out_trade_no
    FROM shops AS s CROSS JOIN LATERAL (
        SELECT r.mchid, r.out_trade_no FROM refunds AS r WHERE r.mchid = s.mchid AND r.out_refund_no = $1 LIMIT 1
    ) AS w
    UNION ALL
    SELECT 4, 'refund_id', r.mchid, r.out_trade_no
    FROM refunds AS r
    WHERE r.refund_id = $1 AND r.refund_id <> ''
    UNION ALL
    SELECT 5, 'delivery_id', w.mchid, w.out_trade_no
    FROM shops AS s CROSS JOIN LATERAL (
        SELECT d.mchid, d.out_trade_no FROM deliveries AS d WHERE d.mchid = s.mchid AND d.delivery_id = $2::uuid LIMIT 1
    ) AS w
    UNION ALL
    SELECT 5, 'delivery_id', l.mchid, l.out_trade_no
    FROM dead_letters AS l
    WHERE l.delivery_id = $2::uuid
    UNION ALL
    (SELECT 6, 'notification_id', d.mchid, d.out_trade_no
     FROM deliveries AS d
     WHERE d.notification_id = $1 AND d.notification_id <> '' AND ($3 = '' OR d.mchid = $3) LIMIT 100)
    UNION ALL
    SELECT 7, 'event_id', e.mchid, e.out_trade_no
    FROM outbox AS e
    WHERE e.event_id = $2::uuid
    UNION ALL
    SELECT 7, 'event_id', e.mchid, e.out_trade_no
    FROM published AS e
    WHERE e.event_id = $2::uuid
), found AS (
    SELECT DISTINCT ON (w.mchid, w.out_trade_no) w.mchid, w.out_trade_no, w.found_by, w.rank
    FROM ways AS w CROSS JOIN LATERAL (
        SELECT o.mchid FROM orders AS o WHERE o.mchid = w.mchid AND o.out_trade_no = w.out_trade_no LIMIT 1
    ) AS o
    WHERE $3 = '' OR w.mchid = $3
    ORDER BY w.mchid, w.out_trade_no, w.rank
)
SELECT mchid, out_trade_no, found_by
FROM found
ORDER BY rank, mchid, out_trade_no
LIMIT $4
