-- One account; a pointer leads to the account that it was merged into.
SELECT a.mchid, a.account_id, a.unionid, a.nickname, a.avatar_url, a.phone, a.created_at, a.updated_at
FROM accounts AS p
JOIN accounts AS a ON a.mchid = p.mchid AND a.account_id = coalesce(p.merged_into, p.account_id)
WHERE p.mchid = $1 AND p.account_id = $2::uuid
