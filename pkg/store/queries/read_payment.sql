-- One payment as it stands.
SELECT mchid, transaction_id, out_trade_no, amount_fen, payer_total_fen, currency, openid, trade_type,
       bank_type, paid_at, observed_at, notified_at, refunded_fen, reserved_fen, overrun_fen
FROM payments
WHERE mchid = $1 AND transaction_id = $2
