-- The dead letters that name a number, newest first: $1 as text, $2 as UUID where it is
-- one, $3 one merchant or ''. An order's number is looked for among the merchants that
-- have letters, hopping through their index.
WITH RECURSIVE shops AS (
    SELECT coalesce(nullif($3, ''), (SELECT l.mchid FROM dead_letters AS l WHERE l.mchid > '' ORDER BY l.mchid LIMIT 1)) AS mchid
    UNION ALL
    SELECT (SELECT l.mchid FROM dead_letters AS l WHERE l.mchid > s.mchid AND $3 = '' ORDER BY l.mchid LIMIT 1)
    FROM shops AS s
    WHERE s.mchid IS NOT NULL
), named AS (
    SELECT w.mchid, w.delivery_id
    FROM shops AS s CROSS JOIN LATERAL (
        SELECT l.mchid, l.delivery_id FROM dead_letters AS l WHERE l.mchid = s.mchid AND l.out_trade_no = $1 LIMIT 100
    ) AS w
    UNION
    (SELECT l.mchid, l.delivery_id FROM dead_letters AS l WHERE l.transaction_id = $1 AND l.transaction_id <> '' LIMIT 100)
    UNION
    SELECT l.mchid, l.delivery_id FROM dead_letters AS l WHERE l.delivery_id = $2::uuid
)
SELECT n.delivery_id
FROM named AS n
WHERE $3 = '' OR n.mchid = $3
ORDER BY n.delivery_id DESC
LIMIT $4
