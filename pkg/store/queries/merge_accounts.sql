-- Makes one account a pointer to another: its identities go over, and what is known of the
-- buyer fills what the other does not know. Orders and sessions go on naming the pointer.
WITH merged AS (
    UPDATE accounts AS a
    SET merged_into = $3::uuid, updated_at = $4
    WHERE a.mchid = $1 AND a.account_id = $2::uuid AND a.merged_into IS NULL AND a.unionid = ''
    RETURNING a.mchid, a.nickname, a.avatar_url, a.phone
), moved AS (
    UPDATE identities AS i
    SET account_id = $3::uuid
    FROM merged AS m
    WHERE i.mchid = m.mchid AND i.account_id = $2::uuid
)
UPDATE accounts AS a
SET nickname   = coalesce(nullif(a.nickname, ''), m.nickname),
    avatar_url = coalesce(nullif(a.avatar_url, ''), m.avatar_url),
    phone      = coalesce(nullif(a.phone, ''), m.phone),
    updated_at = $4
FROM merged AS m
WHERE a.mchid = $1 AND a.account_id = $3::uuid AND a.merged_into IS NULL AND a.unionid <> ''
