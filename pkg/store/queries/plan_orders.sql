-- Says when claimed orders are looked at next. An order that moved, was claimed by
-- somebody else or became due meanwhile keeps what it has. Only a failed order may be
-- left alone for ever; for any other the plan is passed over and the lease runs out.
WITH plans AS (
    SELECT DISTINCT ON (p.mchid, p.out_trade_no)
           p.mchid, p.out_trade_no, p.lease, p.next_check_at, p.check_api, p.close_count, p.checked_at
    FROM unnest($1::text[], $2::text[], $3::timestamptz[], $4::timestamptz[], $5::text[], $6::bigint[], $7::timestamptz[])
        AS p (mchid, out_trade_no, lease, next_check_at, check_api, close_count, checked_at)
    ORDER BY p.mchid, p.out_trade_no
), held AS MATERIALIZED (
    SELECT o.mchid, o.out_trade_no, p.next_check_at, p.check_api, p.close_count, p.checked_at
    FROM plans AS p
    JOIN orders AS o ON o.mchid = p.mchid AND o.out_trade_no = p.out_trade_no
    WHERE o.next_check_at = p.lease AND o.state IN ('created', 'awaiting_payment', 'failed')
      AND (p.next_check_at IS NOT NULL OR o.state = 'failed')
    ORDER BY o.mchid, o.out_trade_no
    FOR NO KEY UPDATE OF o
)
UPDATE orders AS o
SET next_check_at = h.next_check_at, check_api = h.check_api, close_count = h.close_count,
    checked_at = greatest(o.checked_at, h.checked_at)
FROM held AS h
WHERE o.mchid = h.mchid AND o.out_trade_no = h.out_trade_no
