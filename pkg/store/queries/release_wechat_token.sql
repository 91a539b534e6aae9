-- Ends a lease before its time. The fence stays.
UPDATE wechat_tokens
SET holder = '', lease_until = NULL
WHERE appid = $1 AND kind = $2 AND fence = $3
