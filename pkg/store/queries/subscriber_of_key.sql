-- The living subscriber of a key.
SELECT subscriber_id, name, mchid, nkey, array_to_string(facts, ',') AS facts, from_at, stream_created_at, starts_after, created_at, created_by, removed_at
FROM subscribers
WHERE nkey = $1 AND removed_at IS NULL
