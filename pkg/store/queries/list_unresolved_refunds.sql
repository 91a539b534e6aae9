-- list_unresolved_refunds
-- A page of the refunds in some of the states in which a refund is unresolved, the newest
-- first. What is unresolved has a next check, and so the index of what is due holds it.
SELECT r.mchid, r.out_refund_no, r.out_trade_no, r.transaction_id, r.refund_id, r.amount_fen, r.currency, r.reason, r.funds, r.origin,
       r.digest, r.state, r.sequence, r.created_at, r.updated_at, r.succeeded_at, r.received_account, r.failure_code,
       r.failure_reason, r.next_check_at, r.check_api, r.check_count, r.abnormal_rounds
FROM refunds AS r
WHERE r.next_check_at IS NOT NULL AND r.state = ANY ($2::text[]) AND ($1 = '' OR r.mchid = $1)
  AND r.created_at >= $3::timestamptz AND (r.created_at, r.mchid, r.out_refund_no) < ($4::timestamptz, $5::text, $6::text)
ORDER BY r.created_at DESC, r.mchid DESC, r.out_refund_no DESC
LIMIT $7
