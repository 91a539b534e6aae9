-- Which of these events the books know nothing of. An event that was published is in the
-- outbox until it is marked, and in published from then on.
SELECT k.event_id
FROM unnest($1::uuid[]) AS k (event_id)
WHERE NOT EXISTS (SELECT FROM outbox AS o WHERE o.event_id = k.event_id)
  AND NOT EXISTS (SELECT FROM published AS p WHERE p.event_id = k.event_id)
