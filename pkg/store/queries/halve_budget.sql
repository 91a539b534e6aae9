-- Halves a bucket's rate for a while. What it gained until now it keeps.
WITH bucket AS MATERIALIZED (
    SELECT b.milli_tokens, b.milli_rate, b.milli_burst, b.refilled_at, b.halved_until
    FROM api_budgets AS b
    WHERE b.mchid = $1 AND b.api = $2 AND b.milli_rate = $3
    FOR UPDATE
), locked AS MATERIALIZED (
    SELECT b.milli_tokens, b.milli_rate, b.milli_burst, b.refilled_at, b.halved_until, clock_timestamp() AS at
    FROM bucket AS b
)
UPDATE api_budgets AS b
SET milli_tokens = budget_tokens(l.milli_tokens, l.milli_rate, l.milli_burst, l.refilled_at, l.halved_until, l.at),
    refilled_at  = greatest(b.refilled_at, l.at),
    halved_until = greatest(b.halved_until, l.at + make_interval(secs => $4))
FROM locked AS l
WHERE b.mchid = $1 AND b.api = $2
