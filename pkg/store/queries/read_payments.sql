-- The payments of locked orders. A statement of its own, after the lock: it
-- must see what a concurrent batch committed while this one waited.
SELECT p.mchid, p.transaction_id, p.out_trade_no, p.amount_fen, p.payer_total_fen, p.currency, p.openid, p.trade_type,
       p.bank_type, p.paid_at, p.observed_at, p.notified_at, p.refunded_fen, p.reserved_fen, p.overrun_fen
FROM unnest($1::text[], $2::text[]) AS k (mchid, out_trade_no)
JOIN payments AS p ON p.mchid = k.mchid AND p.out_trade_no = k.out_trade_no
