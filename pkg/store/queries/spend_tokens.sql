-- Takes $4 thousandths of a token out of a bucket (or puts them back), unless fewer
-- than $5 would be left. It can be overdrawn by as much as it holds, no further.
WITH bucket AS MATERIALIZED (
    SELECT b.milli_tokens, b.milli_rate, b.milli_burst, b.refilled_at, b.halved_until
    FROM api_budgets AS b
    WHERE b.mchid = $1 AND b.api = $2 AND b.milli_rate = $3
    FOR UPDATE
), locked AS MATERIALIZED (
    SELECT b.milli_tokens, b.milli_rate, b.milli_burst, b.refilled_at, b.halved_until, clock_timestamp() AS at
    FROM bucket AS b
), purse AS MATERIALIZED (
    SELECT l.at, l.milli_burst,
           budget_tokens(l.milli_tokens, l.milli_rate, l.milli_burst, l.refilled_at, l.halved_until, l.at) - $4::bigint AS left_over
    FROM locked AS l
)
UPDATE api_budgets AS b
SET milli_tokens = greatest(-p.milli_burst, least(p.milli_burst, p.left_over)), refilled_at = greatest(b.refilled_at, p.at)
FROM purse AS p
WHERE b.mchid = $1 AND b.api = $2 AND p.left_over >= $5::bigint
