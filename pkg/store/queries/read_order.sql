-- One order as it stands.
SELECT mchid, out_trade_no, appid, client, protocol, description, amount_fen, currency, openid, attach, digest,
       state, sequence, created_at, updated_at, expires_at, prepay_request, prepay_id, code_url, h5_url, credential_expires_at,
       transaction_id, paid_at, late, closed_at, failure_code, failure_reason, next_check_at,
       check_api, close_count, close_requested_at, checked_at, account_id
FROM orders
WHERE mchid = $1 AND out_trade_no = $2
