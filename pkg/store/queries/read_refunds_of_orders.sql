-- Reads the refunds of orders, without locking them.
SELECT r.mchid, r.out_refund_no, r.out_trade_no, r.transaction_id, r.refund_id, r.amount_fen, r.currency, r.reason, r.funds, r.origin,
       r.digest, r.state, r.sequence, r.request, r.created_at, r.updated_at, r.succeeded_at, r.received_account, r.failure_code,
       r.failure_reason, r.next_check_at, r.check_api, r.check_count, r.abnormal_rounds
FROM unnest($1::text[], $2::text[]) AS k (mchid, out_trade_no)
JOIN refunds AS r ON r.mchid = k.mchid AND r.out_trade_no = k.out_trade_no
