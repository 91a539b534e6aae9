-- Revokes the living token of a name and tells the audit.
WITH revoked AS (
    UPDATE operator_tokens
    SET revoked_at = now()
    WHERE name = $1 AND revoked_at IS NULL
    RETURNING token_id, name, role
), audited AS (
    INSERT INTO audit (audit_id, actor, action, subject, detail)
    SELECT gen_random_uuid(), $2, 'token.revoke', r.name, jsonb_build_object('token_id', r.token_id, 'role', r.role)
    FROM revoked AS r
)
SELECT count(*) FROM revoked
