-- Begins a period of a calendar job, if nobody runs it and nobody has done it.
INSERT INTO job_runs AS j (mchid, job, period, state, started_at, leased_until)
SELECT $1, $2, $3, 'running', clock_timestamp(), clock_timestamp() + make_interval(secs => $4)
WHERE NOT EXISTS (SELECT FROM job_runs AS b
                  WHERE b.mchid = $1 AND b.job = $2 AND b.period = $3
                    AND (b.state = 'done' OR b.state = 'running' AND b.leased_until > clock_timestamp()))
ON CONFLICT (mchid, job, period) DO UPDATE
SET state = 'running', started_at = excluded.started_at, leased_until = excluded.leased_until,
    finished_at = NULL, attempts = j.attempts + 1
WHERE j.state = 'failed' OR j.state = 'running' AND (j.leased_until IS NULL OR j.leased_until <= clock_timestamp())
