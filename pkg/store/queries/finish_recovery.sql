-- Ends a recovery and vouches for the books.
WITH ended AS (
    UPDATE recoveries AS r
    SET state = 'done', phase = 'done', stretches = $3, counts = $4, problems = $5, lease = NULL, leased_until = NULL,
        moved_at = now(), finished_at = now()
    WHERE r.recovery_id = $1 AND r.lease = $2 AND r.state = 'running' AND r.incarnation = books_incarnation()
    RETURNING r.recovery_id, r.since, r.counts
), vouched AS (
    INSERT INTO vouchers (incarnation)
    SELECT books_incarnation() FROM ended AS e
    ON CONFLICT (only_one) DO UPDATE SET incarnation = excluded.incarnation, vouched_at = now()
)
INSERT INTO audit (audit_id, actor, action, subject, detail)
SELECT gen_random_uuid(), $6, 'recovery.end', e.recovery_id::text, jsonb_build_object('reason', $7::text, 'since', e.since, 'counts', e.counts)
FROM ended AS e
