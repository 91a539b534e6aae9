-- Stores a token, if nobody was given a lease after this one.
UPDATE wechat_tokens
SET sealed = $4, expires_at = $5
WHERE appid = $1 AND kind = $2 AND fence = $3
