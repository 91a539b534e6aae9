-- Lets one process fetch the next token: the row is made or its lease has ended. Each lease
-- has a higher fence than the one before.
INSERT INTO wechat_tokens AS t (appid, kind, fence, holder, lease_until)
VALUES ($1, $2, 1, $3, $5)
ON CONFLICT (appid, kind) DO UPDATE
SET fence = t.fence + 1, holder = excluded.holder, lease_until = excluded.lease_until
WHERE t.lease_until IS NULL OR t.lease_until <= $4::timestamptz
RETURNING fence
