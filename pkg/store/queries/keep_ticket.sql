-- Keeps a login until the page that began it takes it up.
INSERT INTO login_tickets (ticket_sum, mchid, account_id, appid, openid, challenge, expires_at)
VALUES ($1, $2, $3::uuid, $4, $5, $6, $7)
