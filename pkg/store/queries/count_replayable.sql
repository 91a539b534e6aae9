-- How many notifications list_replayable has pages of; counted to $4 and no further:
-- in the order of the ids, so that it goes by their index however much there is.
WITH RECURSIVE shops AS (
    SELECT coalesce(nullif($1, ''), (SELECT min(d.mchid) FROM deliveries AS d)) AS mchid
    UNION ALL
    SELECT (SELECT min(d.mchid) FROM deliveries AS d WHERE d.mchid > s.mchid AND $1 = '')
    FROM shops AS s
    WHERE s.mchid IS NOT NULL
)
SELECT least(coalesce(sum(d.deliveries), 0), $4)::bigint
FROM shops AS s CROSS JOIN LATERAL (
    SELECT count(*) AS deliveries
    FROM (
        SELECT FROM deliveries AS a
        WHERE a.mchid = s.mchid AND a.delivery_id >= $2::uuid AND a.delivery_id < $3::uuid
          AND a.kind IN ('notify_v3', 'notify_v2_pay', 'notify_v2_refund')
          AND NOT EXISTS (SELECT FROM dead_letters AS l WHERE l.mchid = a.mchid AND l.delivery_id = a.delivery_id AND l.state = 'discarded')
        ORDER BY a.delivery_id
        LIMIT $4
    ) AS counted
) AS d
