-- The accounts that an id leads to: $1 as text, $2 as UUID where it is one, $3 one merchant
-- or ''. Merchants that have accounts are hopped through by their key, as in find_orders.
-- An account that was merged into another one leads there.
WITH RECURSIVE shops AS (
    SELECT coalesce(nullif($3, ''), (SELECT a.mchid FROM accounts AS a WHERE a.mchid > '' ORDER BY a.mchid LIMIT 1)) AS mchid
    UNION ALL
    SELECT (SELECT a.mchid FROM accounts AS a WHERE a.mchid > s.mchid AND $3 = '' ORDER BY a.mchid LIMIT 1)
    FROM shops AS s
    WHERE s.mchid IS NOT NULL
), ways AS (
    SELECT 1 AS rank, CASE WHEN w.merged_into IS NULL THEN 'account_id' ELSE 'merged_account_id' END AS found_by,
           w.mchid, coalesce(w.merged_into, w.account_id) AS account_id
    FROM shops AS s CROSS JOIN LATERAL (
        SELECT a.mchid, a.account_id, a.merged_into FROM accounts AS a WHERE a.mchid = s.mchid AND a.account_id = $2::uuid LIMIT 1
    ) AS w
    UNION ALL
    (SELECT 2, 'openid', i.mchid, i.account_id FROM identities AS i WHERE i.openid = $1 AND ($3 = '' OR i.mchid = $3) LIMIT 100)
    UNION ALL
    SELECT 3, 'unionid', w.mchid, w.account_id
    FROM shops AS s CROSS JOIN LATERAL (
        SELECT a.mchid, a.account_id FROM accounts AS a WHERE a.mchid = s.mchid AND a.unionid = $1 AND a.unionid <> '' LIMIT 1
    ) AS w
), found AS (
    SELECT DISTINCT ON (w.mchid, w.account_id) w.rank, w.found_by, w.mchid, w.account_id
    FROM ways AS w
    ORDER BY w.mchid, w.account_id, w.rank
)
SELECT f.mchid, f.account_id, f.found_by
FROM found AS f
ORDER BY f.rank, f.mchid, f.account_id
LIMIT $4
