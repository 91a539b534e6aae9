-- Begins a recovery and tells the audit who did it and why.
WITH begun AS (
    INSERT INTO recoveries (recovery_id, since, actor, reason, needed, stretches)
    VALUES ($1, $2, $3, $4, $5 OR NOT EXISTS (SELECT FROM vouchers AS v WHERE v.incarnation = books_incarnation()), $6)
    RETURNING recovery_id, since, needed
)
INSERT INTO audit (audit_id, actor, action, subject, detail)
SELECT gen_random_uuid(), $3, 'recovery.begin', b.recovery_id::text,
       jsonb_build_object('reason', $4::text, 'since', b.since, 'needed', b.needed, 'stretches', $6::jsonb)
FROM begun AS b
