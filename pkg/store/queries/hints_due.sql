-- Whether any hint waits to be followed, and whether the bucket has the rate that is configured.
SELECT EXISTS (SELECT FROM refund_hints AS h WHERE h.mchid = $1 AND h.next_check_at <= now()) AS due,
       EXISTS (SELECT FROM api_budgets AS b WHERE b.mchid = $1 AND b.api = $2 AND b.milli_rate = $3) AS fits
