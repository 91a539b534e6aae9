-- Writes down an act that has no other row: what it does is done elsewhere.
INSERT INTO audit (mchid, audit_id, actor, action, subject, detail)
VALUES ($1, $2::uuid, $3, $4, $5, $6::jsonb)
