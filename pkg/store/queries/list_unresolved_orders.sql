-- A page of the orders in one of the states in which an order is unresolved, the newest
-- first. What is unresolved has a next check, and so the index of what is due holds it.
SELECT o.mchid, o.out_trade_no, o.appid, o.client, o.protocol, o.description, o.amount_fen, o.currency, o.openid, o.attach, o.digest,
       o.state, o.sequence, o.created_at, o.updated_at, o.expires_at, o.prepay_id, o.code_url, o.h5_url, o.credential_expires_at,
       o.transaction_id, o.paid_at, o.late, o.closed_at, o.failure_code, o.failure_reason, o.next_check_at,
       o.check_api, o.close_count, o.close_requested_at, o.checked_at, o.account_id
FROM orders AS o
WHERE o.next_check_at IS NOT NULL AND o.state = $2 AND ($1 = '' OR o.mchid = $1)
  AND o.created_at >= $3::timestamptz AND (o.created_at, o.mchid, o.out_trade_no) < ($4::timestamptz, $5::text, $6::text)
ORDER BY o.created_at DESC, o.mchid DESC, o.out_trade_no DESC
LIMIT $7
