-- Reads orders by their keys, without locking them.
SELECT o.mchid, o.out_trade_no, o.appid, o.client, o.protocol, o.description, o.amount_fen, o.currency, o.openid, o.attach,
       o.digest, o.state, o.sequence, o.created_at, o.updated_at, o.expires_at, o.prepay_request, o.prepay_id, o.code_url, o.h5_url,
       o.credential_expires_at, o.transaction_id, o.paid_at, o.late, o.closed_at, o.failure_code, o.failure_reason, o.next_check_at,
       o.check_api, o.close_count, o.close_requested_at, o.checked_at, o.account_id
FROM unnest($1::text[], $2::text[]) AS k (mchid, out_trade_no)
JOIN orders AS o ON o.mchid = k.mchid AND o.out_trade_no = k.out_trade_no
