-- Ends a run of a calendar job. Done stays done; a failure counts only for a run that is under way.
UPDATE job_runs
SET state = CASE WHEN $5 THEN 'failed' ELSE 'done' END, finished_at = clock_timestamp(), leased_until = NULL, detail = $4
WHERE mchid = $1 AND job = $2 AND period = $3 AND state <> 'done' AND (state = 'running' OR NOT $5)
