-- hold_refund
-- read_refund_moment, and nobody else moves or claims the refund until the commit.
SELECT r.mchid, r.out_refund_no, r.out_trade_no, r.transaction_id, r.refund_id, r.amount_fen, r.currency, r.reason, r.funds, r.origin,
       r.digest, r.state, r.sequence, r.request, r.created_at, r.updated_at, r.succeeded_at, r.received_account, r.failure_code,
       r.failure_reason, r.next_check_at, r.check_api, r.check_count, r.abnormal_rounds,
       clock_timestamp() AS at, coalesce(r.leased_until > clock_timestamp(), false) AS held
FROM refunds AS r
WHERE r.mchid = $1 AND r.out_refund_no = $2
FOR NO KEY UPDATE OF r
