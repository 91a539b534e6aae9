-- Counts one more touch of a suspicious envelope.
INSERT INTO delivery_attempts AS a (mchid, delivery_id, attempts, last_at)
VALUES ($1, $2, 1, now())
ON CONFLICT (mchid, delivery_id) DO UPDATE SET attempts = a.attempts + 1, last_at = now()
RETURNING attempts
