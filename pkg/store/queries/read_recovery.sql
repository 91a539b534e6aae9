-- One recovery, or the one that is under way.
SELECT recovery_id, since, actor, reason, CASE WHEN state = 'running' AND incarnation <> books_incarnation() THEN 'superseded' ELSE state END AS state, phase, needed, stretches, counts, problems, tries, coalesce(lease::text, '') AS lease,
       started_at, finished_at
FROM recoveries
WHERE CASE WHEN $1 = '' THEN state = 'running' ELSE recovery_id::text = $1 END
