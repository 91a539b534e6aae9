-- The living token of a secret. That it was used is noted once a minute at most, so
-- that a busy token is not a busy row; the answer holds what was noted before.
WITH known AS (
    SELECT token_id, name, role, created_at, created_by, revoked_at, last_used_at
    FROM operator_tokens
    WHERE sum = $1 AND revoked_at IS NULL
), used AS (
    UPDATE operator_tokens AS t
    SET last_used_at = now()
    FROM known AS k
    WHERE t.token_id = k.token_id AND (t.last_used_at IS NULL OR t.last_used_at <= now() - interval '1 minute')
)
SELECT token_id, name, role, created_at, created_by, revoked_at, last_used_at
FROM known
