-- Makes a token and tells the audit, unless a living token has its name.
WITH made AS (
    INSERT INTO operator_tokens (token_id, name, role, sum, created_at, created_by)
    VALUES ($1, $2, $3, $4, coalesce($5::timestamptz, now()), $6)
    ON CONFLICT (name) WHERE revoked_at IS NULL DO NOTHING
    RETURNING token_id, name, role, created_by
), audited AS (
    INSERT INTO audit (audit_id, actor, action, subject, detail)
    SELECT gen_random_uuid(), m.created_by, 'token.create', m.name, jsonb_build_object('token_id', m.token_id, 'role', m.role)
    FROM made AS m
)
SELECT count(*) FROM made
