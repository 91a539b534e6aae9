-- The bytes of deliveries by their ids, from the archive or, where its day is gone, from
-- their letters; with where a letter stands and how many counted readings did not end.
-- Merchants are hopped through as in find_orders; the ids say which days are looked at.
-- LIMIT 1 is of the key, and keeps the planner from reading a day whole.
WITH RECURSIVE shops AS (
    SELECT (SELECT o.mchid FROM orders AS o WHERE o.mchid > '' ORDER BY o.mchid LIMIT 1) AS mchid
    UNION ALL
    SELECT (SELECT o.mchid FROM orders AS o WHERE o.mchid > s.mchid ORDER BY o.mchid LIMIT 1)
    FROM shops AS s
    WHERE s.mchid IS NOT NULL
), kept AS (
    SELECT d.mchid, d.delivery_id, d.kind, d.received_at, d.headers, d.body, d.trace_parent, d.stream, d.stream_sequence, d.stream_index
    FROM unnest($1::uuid[]) AS i (id) CROSS JOIN shops AS s CROSS JOIN LATERAL (
        SELECT a.mchid, a.delivery_id, a.kind, a.received_at, a.headers, a.body, a.trace_parent, a.stream, a.stream_sequence, a.stream_index
        FROM deliveries AS a
        WHERE a.mchid = s.mchid AND a.delivery_id = i.id
        LIMIT 1
    ) AS d
    UNION ALL
    SELECT l.mchid, l.delivery_id, l.kind, l.received_at, l.headers, l.body, l.trace_parent, l.stream, l.stream_sequence, l.stream_index
    FROM dead_letters AS l
    WHERE l.delivery_id = ANY ($1::uuid[])
)
SELECT DISTINCT ON (k.delivery_id) k.mchid, k.delivery_id, k.kind, k.received_at, k.headers, k.body, k.trace_parent, k.stream, k.stream_sequence,
       k.stream_index, coalesce(l.state, '') AS state, coalesce(t.attempts, 0) AS attempts
FROM kept AS k
LEFT JOIN dead_letters AS l ON l.mchid = k.mchid AND l.delivery_id = k.delivery_id
LEFT JOIN delivery_attempts AS t ON t.mchid = k.mchid AND t.delivery_id = k.delivery_id
ORDER BY k.delivery_id, k.mchid
