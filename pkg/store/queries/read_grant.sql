-- The identity by which an app knows a buyer, with what WeChat granted; where there are
-- several, the one that was seen last.
SELECT i.appid, i.openid, i.seen_at, i.grant_sealed, i.grant_scope, i.grant_expires_at
FROM accounts AS p
JOIN identities AS i ON i.mchid = p.mchid AND i.account_id = coalesce(p.merged_into, p.account_id)
WHERE p.mchid = $1 AND p.account_id = $2::uuid AND i.appid = $3
ORDER BY i.seen_at DESC, i.openid
LIMIT 1
