-- Looks at a merchant's last payments and shifts its gear where they say so. Exactly
-- one of those who see the same is given the change.
--
-- A payment was missed when no notification came within $3 seconds of its being known,
-- or when WeChat Pay had taken it more than $5 seconds before and we know it by asking
-- only: a notification comes sooner than that. The newest payments tell soonest; but
-- where many come in a minute all of them are too new for the first of the two, so the
-- newest of those that are old enough for it are looked at as well.
WITH recent AS (
    (SELECT p.transaction_id, p.paid_at, p.observed_at, p.notified_at
     FROM payments AS p
     WHERE p.mchid = $1
     ORDER BY p.observed_at DESC
     LIMIT $2)
    UNION
    (SELECT p.transaction_id, p.paid_at, p.observed_at, p.notified_at
     FROM payments AS p
     WHERE p.mchid = $1 AND p.observed_at < now() - make_interval(secs => $3)
     ORDER BY p.observed_at DESC
     LIMIT $2)
), told AS (
    SELECT coalesce(r.notified_at, now()) > r.observed_at + make_interval(secs => $3)
           OR r.notified_at IS NULL AND r.paid_at < r.observed_at - make_interval(secs => $5) AS missed,
           r.notified_at IS NOT NULL AS notified,
           row_number() OVER (ORDER BY r.observed_at DESC) <= $2 AS newest
    FROM recent AS r
), judged AS (
    SELECT CASE WHEN bool_or(t.missed) THEN 'tight'
                WHEN count(*) FILTER (WHERE t.newest AND t.notified) = $2 THEN 'relaxed'
           END AS gear
    FROM told AS t
), stood AS (
    SELECT g.gear, g.pull_until, coalesce(g.hold_until > now(), false) AS held
    FROM merchant_gears AS g
    WHERE g.mchid = $1
), wanted AS (
    SELECT CASE WHEN s.gear IS NULL THEN 'tight' ELSE j.gear END AS gear
    FROM judged AS j
    LEFT JOIN stood AS s ON true
    WHERE s.gear IS NULL OR s.gear <> j.gear AND NOT s.held
), shifted AS (
    INSERT INTO merchant_gears AS g (mchid, gear, changed_at, pull_until, hold_until)
    SELECT $1, w.gear, now(), NULL, NULL -- the beginning: nothing was put off for long
    FROM wanted AS w
    ON CONFLICT (mchid) DO UPDATE
    SET gear = excluded.gear, changed_at = excluded.changed_at,
        pull_until = CASE WHEN excluded.gear = 'tight' THEN now() + make_interval(secs => $4) END,
        hold_until = CASE WHEN excluded.gear = 'tight' THEN now() + make_interval(secs => $6) END
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
