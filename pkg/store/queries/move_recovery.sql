-- Writes down how far a recovery is, and keeps the lease of whoever is at it.
UPDATE recoveries
SET phase = $3, stretches = $4, counts = $5, problems = $6, moved_at = now(), tries = 0,
    leased_until = CASE WHEN $7::float8 > 0 THEN now() + make_interval(secs => $7) END
WHERE recovery_id = $1 AND lease = $2 AND state = 'running' AND incarnation = books_incarnation()
