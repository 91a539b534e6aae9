-- Takes up a recovery for one step, if nobody else makes one, and tells the audit who
-- did it, why, and where it stood.
WITH leased AS (
    UPDATE recoveries AS r
    SET lease = gen_random_uuid(), leased_until = now() + make_interval(secs => $2), tries = r.tries + 1
    WHERE r.recovery_id = $1 AND r.state = 'running' AND r.incarnation = books_incarnation() AND (r.leased_until IS NULL OR r.leased_until <= now())
    RETURNING r.recovery_id, r.since, r.actor, r.reason, r.state, r.phase, r.needed, r.stretches, r.counts, r.problems, r.tries, r.lease,
              r.started_at, r.finished_at
), audited AS (
    INSERT INTO audit (audit_id, actor, action, subject, detail)
    SELECT gen_random_uuid(), $3, 'recovery.step', l.recovery_id::text,
           jsonb_build_object('reason', $4::text, 'since', l.since, 'phase', l.phase, 'stretches', l.stretches)
    FROM leased AS l
)
SELECT recovery_id, since, actor, reason, state, phase, needed, stretches, counts, problems, tries, lease::text AS lease, started_at, finished_at
FROM leased
