-- find_refunds
-- The refunds that a number leads to, of one merchant or ('') of all: by their own number,
-- merchant by merchant as in find_orders, or by WeChat Pay's. Of both, the first counts.
WITH RECURSIVE shops AS (
    SELECT coalesce(nullif($2, ''), (SELECT o.mchid FROM orders AS o WHERE o.mchid > '' ORDER BY o.mchid LIMIT 1)) AS mchid
    UNION ALL
    SELECT (SELECT o.mchid FROM orders AS o WHERE o.mchid > s.mchid AND $2 = '' ORDER BY o.mchid LIMIT 1)
    FROM shops AS s
    WHERE s.mchid IS NOT NULL
), ways AS (
    SELECT 1 AS rank, 'out_refund_no' AS found_by, w.mchid, w.out_refund_no, w.out_trade_no
    FROM shops AS s CROSS JOIN LATERAL (
        SELECT r.mchid, r.out_refund_no, r.out_trade_no FROM refunds AS r WHERE r.mchid = s.mchid AND r.out_refund_no = $1 LIMIT 1
    ) AS w
    UNION ALL
    SELECT 2, 'refund_id', r.mchid, r.out_refund_no, r.out_trade_no
    FROM refunds AS r
    WHERE r.refund_id = $1 AND r.refund_id <> '' AND ($2 = '' OR r.mchid = $2)
), found AS (
    SELECT DISTINCT ON (w.mchid, w.out_refund_no) w.rank, w.found_by, w.mchid, w.out_refund_no, w.out_trade_no
    FROM ways AS w
    ORDER BY w.mchid, w.out_refund_no, w.rank
)
SELECT f.mchid, f.out_refund_no, f.out_trade_no, f.found_by
FROM found AS f
ORDER BY f.rank, f.mchid, f.out_refund_no
LIMIT $3
