-- The payments of one order, in the order in which they were learned of.
SELECT mchid, transaction_id, out_trade_no, amount_fen, payer_total_fen, currency, openid, trade_type,
       bank_type, paid_at, observed_at, notified_at, refunded_fen, reserved_fen, overrun_fen
FROM payments
WHERE mchid = $1 AND out_trade_no = $2
ORDER BY observed_at, transaction_id
