-- Notes that the consumer of a removed subscriber is gone.
UPDATE subscribers
SET dropped_at = now()
WHERE subscriber_id = $1 AND removed_at IS NOT NULL AND dropped_at IS NULL
