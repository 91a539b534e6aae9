-- All tokens, the living ones first, the newest of each first.
SELECT token_id, name, role, created_at, created_by, revoked_at, last_used_at
FROM operator_tokens
ORDER BY revoked_at IS NOT NULL, created_at DESC, token_id
