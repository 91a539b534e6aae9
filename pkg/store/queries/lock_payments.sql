-- Locks the payments of orders in the order of their key, before any refund is
-- locked, as whoever sends a refund does.
SELECT p.transaction_id
FROM unnest($1::text[], $2::text[]) AS k (mchid, out_trade_no)
JOIN payments AS p ON p.mchid = k.mchid AND p.out_trade_no = k.out_trade_no
ORDER BY p.mchid, p.transaction_id
FOR NO KEY UPDATE OF p
