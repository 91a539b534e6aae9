-- Spends a ticket: of many who try, one is given it. Whoever has the ticket and not what
-- the challenge was made of changes nothing, so that the address of a page, passed on in
-- time, takes the login away from nobody.
WITH spent AS (
    DELETE FROM login_tickets AS t
    WHERE t.ticket_sum = $1 AND t.appid = $2 AND t.challenge = $3 AND t.expires_at > $4::timestamptz
    RETURNING t.mchid, t.account_id, t.appid, t.openid
)
SELECT true AS spent, s.mchid, coalesce(a.merged_into, s.account_id) AS account_id, s.appid, s.openid
FROM spent AS s LEFT JOIN accounts AS a ON a.mchid = s.mchid AND a.account_id = s.account_id
UNION ALL
SELECT false, '', NULL::uuid, '', ''
FROM login_tickets AS t
WHERE t.ticket_sum = $1 AND t.appid = $2 AND t.challenge <> $3 AND t.expires_at > $4::timestamptz
