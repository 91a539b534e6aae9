-- write_audits
-- Tells the audit what people did. An act that is carried out again is the same act.
INSERT INTO audit (mchid, audit_id, actor, action, subject, detail)
SELECT a.mchid, a.audit_id, a.actor, a.action, a.subject, a.detail::jsonb
FROM unnest($1::text[], $2::uuid[], $3::text[], $4::text[], $5::text[], $6::text[]) AS a (mchid, audit_id, actor, action, subject, detail)
ON CONFLICT (mchid, audit_id) DO NOTHING
