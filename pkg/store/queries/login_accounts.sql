-- The accounts that an app's openid and a unionid lead to: none, one, or two that are one
-- buyer. Locked in the order of their key. One that was merged while it was waited for
-- comes back with merged_into set. No unionid is nobody's: asked for '', the planner would
-- expect all the accounts that have none.
SELECT a.account_id, a.unionid, a.merged_into,
       coalesce(a.account_id = (SELECT i.account_id FROM identities AS i WHERE i.mchid = $1 AND i.appid = $2 AND i.openid = $3), false) AS is_openids
FROM accounts AS a
WHERE a.mchid = $1
  AND (a.account_id = (SELECT i.account_id FROM identities AS i WHERE i.mchid = $1 AND i.appid = $2 AND i.openid = $3)
       OR (a.unionid = nullif($4, '') AND a.unionid <> ''))
ORDER BY a.account_id
FOR NO KEY UPDATE OF a
