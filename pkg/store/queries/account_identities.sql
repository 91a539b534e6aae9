-- The apps that a buyer came through, the latest first.
SELECT i.appid, i.openid, i.seen_at
FROM identities AS i
WHERE i.mchid = $1 AND i.account_id = $2::uuid
ORDER BY i.seen_at DESC, i.appid, i.openid
