-- Opens letters that have waited too long. One that is being settled right now
-- is passed over: the next sweep sees what became of it. One that is due is tried
-- first: it may have been woken or replayed a moment ago because what it lacked is
-- there now. So is one that a worker has leased for its try: a failure makes a
-- letter due again 30 seconds later at most, as write_letters says, and this one
-- is due later than that.
WITH overdue AS (
    SELECT mchid, delivery_id
    FROM dead_letters
    WHERE state = 'waiting' AND first_failed_at <= now() - make_interval(secs => $1) AND next_retry_at > now()
      AND next_retry_at <= last_failed_at + interval '30 seconds'
    FOR UPDATE SKIP LOCKED
)
UPDATE dead_letters AS l
SET state = 'open', next_retry_at = NULL
FROM overdue AS o
WHERE l.mchid = o.mchid AND l.delivery_id = o.delivery_id
