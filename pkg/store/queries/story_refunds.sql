-- The refunds of one order, in the order in which they were requested.
SELECT mchid, out_refund_no, out_trade_no, transaction_id, refund_id, amount_fen, currency, reason, funds, origin, digest, state,
       sequence, request, created_at, updated_at, succeeded_at, received_account, failure_code, failure_reason, next_check_at,
       check_api, check_count, abnormal_rounds
FROM refunds
WHERE mchid = $1 AND out_trade_no = $2
ORDER BY created_at, out_refund_no
