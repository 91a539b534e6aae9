-- Gives up the recovery that is under way where it begins later than is wanted now, or
-- began in another life of the database: a restore may have brought it along.
UPDATE recoveries
SET state = 'superseded', lease = NULL, leased_until = NULL, moved_at = now()
WHERE state = 'running' AND (since > $1 OR incarnation <> books_incarnation())
RETURNING needed
