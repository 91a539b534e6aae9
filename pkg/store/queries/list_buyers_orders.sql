-- The newest orders of a buyer: all that an openid of theirs paid, and of the merchant's $3
-- newest those that name the buyer. (An index that finds the others, however old they are,
-- would be written to by each claim and each plan of every order.)
WITH ids AS MATERIALIZED (
    SELECT $2::uuid AS account_id
    UNION ALL
    SELECT a.account_id FROM accounts AS a WHERE a.mchid = $1 AND a.merged_into = $2::uuid
), known AS MATERIALIZED (
    SELECT i.appid, i.openid FROM identities AS i WHERE i.mchid = $1 AND i.account_id = $2::uuid
), recent AS MATERIALIZED (
    SELECT h.out_trade_no FROM history AS h WHERE h.mchid = $1 AND h.sequence = 1 ORDER BY h.at DESC, h.out_trade_no DESC LIMIT $3
), theirs AS (
    SELECT o.out_trade_no
    FROM known AS k CROSS JOIN LATERAL (
        SELECT p.mchid, p.out_trade_no FROM payments AS p WHERE p.openid = k.openid AND p.openid <> '' AND p.mchid = $1
    ) AS p JOIN orders AS o ON o.mchid = p.mchid AND o.out_trade_no = p.out_trade_no AND o.appid = k.appid
    UNION
    SELECT o.out_trade_no
    FROM recent AS r JOIN orders AS o ON o.mchid = $1 AND o.out_trade_no = r.out_trade_no
    WHERE o.account_id IN (SELECT d.account_id FROM ids AS d)
       OR o.openid <> '' AND (o.appid, o.openid) IN (SELECT k.appid, k.openid FROM known AS k)
)
SELECT o.mchid, o.out_trade_no, o.appid, o.client, o.protocol, o.description, o.amount_fen, o.currency, o.openid, o.attach, o.digest,
       o.state, o.sequence, o.created_at, o.updated_at, o.expires_at, o.prepay_id, o.code_url, o.h5_url, o.credential_expires_at,
       o.transaction_id, o.paid_at, o.late, o.closed_at, o.failure_code, o.failure_reason, o.next_check_at,
       o.check_api, o.close_count, o.close_requested_at, o.checked_at, o.account_id
FROM theirs AS t JOIN orders AS o ON o.mchid = $1 AND o.out_trade_no = t.out_trade_no
ORDER BY o.created_at DESC, o.out_trade_no DESC
LIMIT $4
