-- Gives a bucket the configured rate. A new one starts full; one whose rate changed
-- keeps what it holds, as far as the new size goes.
INSERT INTO api_budgets AS b (mchid, api, milli_rate, milli_burst, milli_tokens, refilled_at)
SELECT $1, $2, $3::bigint, $4::bigint, $4::bigint, clock_timestamp()
WHERE NOT EXISTS (SELECT FROM api_budgets AS f WHERE f.mchid = $1 AND f.api = $2 AND f.milli_rate = $3)
ON CONFLICT (mchid, api) DO UPDATE
SET milli_rate   = excluded.milli_rate,
    milli_burst  = excluded.milli_burst,
    milli_tokens = greatest(-excluded.milli_burst, least(excluded.milli_burst,
                       budget_tokens(b.milli_tokens, b.milli_rate, b.milli_burst, b.refilled_at, b.halved_until, excluded.refilled_at))),
    refilled_at  = greatest(b.refilled_at, excluded.refilled_at)
WHERE b.milli_rate <> excluded.milli_rate
