-- Keeps when WeChat Pay last answered a query about orders that did not move.
UPDATE orders AS o
SET checked_at = greatest(o.checked_at, c.checked_at)
FROM unnest($1::text[], $2::text[], $3::timestamptz[]) AS c (mchid, out_trade_no, checked_at)
WHERE o.mchid = c.mchid AND o.out_trade_no = c.out_trade_no
