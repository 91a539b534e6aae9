-- WeChat's token of an app as it stands, sealed.
SELECT sealed, expires_at, fence
FROM wechat_tokens
WHERE appid = $1 AND kind = $2 AND sealed IS NOT NULL
