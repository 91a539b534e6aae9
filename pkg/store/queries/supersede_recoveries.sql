-- Gives up the recovery that is under way, in favour of one from another instant.
UPDATE recoveries
SET state = 'superseded', lease = NULL, leased_until = NULL, moved_at = now()
WHERE state = 'running' AND since <> $1
RETURNING needed
