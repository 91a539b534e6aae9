-- Takes events out of the outbox that were told before, and says how many of the rest
-- are new. $1 is what was just written.
WITH known AS (
    DELETE FROM outbox AS o
    WHERE o.event_id = ANY ($1::uuid[]) AND EXISTS (SELECT FROM published AS p WHERE p.event_id = o.event_id)
    RETURNING o.event_id
)
SELECT count(*)
FROM outbox AS o
WHERE o.event_id = ANY ($1::uuid[]) AND NOT EXISTS (SELECT FROM known AS k WHERE k.event_id = o.event_id)
