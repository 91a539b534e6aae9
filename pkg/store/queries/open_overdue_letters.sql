-- Opens letters that have waited too long. One that is being settled right now
-- is passed over: the next sweep sees what became of it. One that is due is tried
-- first: it may have been woken a moment ago because what it lacked is there now.
WITH overdue AS (
    SELECT mchid, delivery_id
    FROM dead_letters
    WHERE state = 'waiting' AND first_failed_at <= now() - make_interval(secs => $1) AND next_retry_at > now()
    FOR UPDATE SKIP LOCKED
)
UPDATE dead_letters AS l
SET state = 'open', next_retry_at = NULL
FROM overdue AS o
WHERE l.mchid = o.mchid AND l.delivery_id = o.delivery_id
