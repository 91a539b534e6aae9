-- The subscriber of a name whose consumer may be there: the living one, or one that was
-- removed of late.
SELECT subscriber_id, name, mchid, nkey, array_to_string(facts, ',') AS facts, from_at, stream_created_at, starts_after, created_at, created_by, removed_at
FROM subscribers
WHERE name = $1 AND dropped_at IS NULL
