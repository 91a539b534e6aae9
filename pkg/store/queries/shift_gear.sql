-- Looks at a merchant's last payments and shifts its gear where they say so. Exactly
-- one of those who see the same is given the change.
WITH recent AS (
    SELECT p.observed_at, p.notified_at
    FROM payments AS p
    WHERE p.mchid = $1
    ORDER BY p.observed_at DESC
    LIMIT $2
), judged AS (
    SELECT CASE WHEN count(*) FILTER (WHERE coalesce(n.notified_at, now()) > n.observed_at + make_interval(secs => $3)) > 0 THEN 'tight'
                WHEN count(*) FILTER (WHERE n.notified_at <= n.observed_at + make_interval(secs => $3)) = $2 THEN 'relaxed'
           END AS gear
    FROM recent AS n
), stood AS (
    SELECT g.gear, g.pull_until
    FROM merchant_gears AS g
    WHERE g.mchid = $1
), wanted AS (
    SELECT CASE WHEN s.gear IS NULL THEN 'tight' ELSE j.gear END AS gear
    FROM judged AS j
    LEFT JOIN stood AS s ON true
    WHERE s.gear IS DISTINCT FROM coalesce(j.gear, s.gear, 'tight') OR s.gear IS NULL
), shifted AS (
    INSERT INTO merchant_gears AS g (mchid, gear, changed_at, pull_until)
    SELECT $1, w.gear, now(), CASE WHEN w.gear = 'tight' THEN now() + make_interval(secs => $4) END
    FROM wanted AS w
    ON CONFLICT (mchid) DO UPDATE
    SET gear = excluded.gear, changed_at = excluded.changed_at, pull_until = excluded.pull_until
    WHERE g.gear <> excluded.gear
    RETURNING g.gear, g.pull_until
)
SELECT coalesce(h.gear, w.gear, s.gear) AS gear,
       h.gear IS NOT NULL AND s.gear IS NOT NULL AS changed,
       CASE WHEN h.gear IS NOT NULL THEN h.pull_until ELSE s.pull_until END IS NOT NULL AS pulling
FROM (VALUES (1)) AS one
LEFT JOIN stood AS s ON true
LEFT JOIN wanted AS w ON true
LEFT JOIN shifted AS h ON true
