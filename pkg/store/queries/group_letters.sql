-- How many letters of each merchant, reason and state there are; an index answers alone.
SELECT mchid, reason, state, count(*) AS letters, min(first_failed_at) AS oldest_at
FROM dead_letters
WHERE ($1 = '' OR mchid = $1) AND first_failed_at >= $2::timestamptz
GROUP BY mchid, reason, state
ORDER BY mchid, reason, state
