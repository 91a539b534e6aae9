-- Locks the payments of orders whose refunds may move, in the order of their
-- key and before those refunds, as whoever sends a refund does.
SELECT p.transaction_id
FROM unnest($1::text[], $2::text[]) AS k (mchid, out_trade_no)
JOIN payments AS p ON p.mchid = k.mchid AND p.out_trade_no = k.out_trade_no
ORDER BY p.mchid, p.transaction_id
FOR NO KEY UPDATE OF p
