-- Ends the count of an envelope that turned out harmless.
DELETE FROM delivery_attempts
WHERE mchid = $1 AND delivery_id = $2
