-- An order, if it is the buyer's: it names the buyer's account (or one that was merged into
-- it), or an openid of the buyer's. The session's own openid counts without an account row:
-- after a restore the row may be missing until the buyer logs in again.
WITH buyer AS (
    SELECT coalesce(a.merged_into, a.account_id) AS account_id
    FROM accounts AS a
    WHERE a.mchid = $1 AND a.account_id = nullif($3, '')::uuid
)
SELECT o.mchid, o.out_trade_no, o.appid, o.client, o.protocol, o.description, o.amount_fen, o.currency, o.openid, o.attach, o.digest,
       o.state, o.sequence, o.created_at, o.updated_at, o.expires_at, o.prepay_request, o.prepay_id, o.code_url, o.h5_url, o.credential_expires_at,
       o.transaction_id, o.paid_at, o.late, o.closed_at, o.failure_code, o.failure_reason, o.next_check_at,
       o.check_api, o.close_count, o.close_requested_at, o.checked_at, o.account_id
FROM orders AS o
WHERE o.mchid = $1 AND o.out_trade_no = $2
  AND (o.account_id = nullif($3, '')::uuid
       OR (o.openid <> '' AND o.appid = $4 AND o.openid = $5)
       OR EXISTS (SELECT FROM accounts AS a, buyer AS b
                  WHERE a.mchid = o.mchid AND a.account_id = o.account_id AND coalesce(a.merged_into, a.account_id) = b.account_id)
       OR EXISTS (SELECT FROM identities AS i, buyer AS b
                  WHERE i.mchid = o.mchid AND i.appid = o.appid AND i.openid = o.openid AND i.account_id = b.account_id))
