-- Writes an account and the identity that a buyer came through. What is not told now stays
-- as it is. A unionid never changes. A silent login's grant does not take the place of one
-- that may ask for the profile, while that one can still be refreshed (30 days).
WITH account AS (
    INSERT INTO accounts AS a (mchid, account_id, unionid, nickname, avatar_url, phone, created_at, updated_at)
    VALUES ($1, $2::uuid, $3, $4, $5, $6, $7, $7)
    ON CONFLICT (mchid, account_id) DO UPDATE
    SET unionid    = coalesce(nullif(a.unionid, ''), excluded.unionid),
        nickname   = coalesce(nullif(excluded.nickname, ''), a.nickname),
        avatar_url = coalesce(nullif(excluded.avatar_url, ''), a.avatar_url),
        phone      = coalesce(nullif(excluded.phone, ''), a.phone),
        updated_at = excluded.updated_at
    WHERE (a.unionid = '' AND excluded.unionid <> '')
       OR excluded.nickname NOT IN ('', a.nickname) OR excluded.avatar_url NOT IN ('', a.avatar_url) OR excluded.phone NOT IN ('', a.phone)
)
INSERT INTO identities AS i (mchid, appid, openid, account_id, seen_at, grant_sealed, grant_scope, grant_expires_at)
VALUES ($1, $8, $9, $2::uuid, $7, $11, $12, $13::timestamptz)
ON CONFLICT (mchid, appid, openid) DO UPDATE
SET seen_at = CASE WHEN $10::boolean THEN greatest(i.seen_at, excluded.seen_at) ELSE i.seen_at END,
    (grant_sealed, grant_scope, grant_expires_at) = (
        SELECT g.sealed, g.scope, g.expires_at
        FROM (VALUES (excluded.grant_sealed, excluded.grant_scope, excluded.grant_expires_at, excluded.grant_sealed IS NOT NULL
                          AND (excluded.grant_scope <> 'snsapi_base' OR i.grant_scope IN ('', 'snsapi_base')
                               OR i.grant_expires_at < $7::timestamptz - interval '30 days')),
                     (i.grant_sealed, i.grant_scope, i.grant_expires_at, true)) AS g (sealed, scope, expires_at, fits)
        WHERE g.fits
        LIMIT 1)
WHERE i.account_id = $2::uuid
