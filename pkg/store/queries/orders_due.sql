-- Whether any order waits for this call, and whether the bucket has the rate that is
-- configured. It locks nothing: a sweep that finds nothing writes nothing.
SELECT EXISTS (SELECT FROM orders AS o
               WHERE o.mchid = $1 AND o.check_api = $4 AND o.next_check_at <= now() AND ($5::text = '' OR o.out_trade_no = $5)) AS due,
       EXISTS (SELECT FROM api_budgets AS b WHERE b.mchid = $1 AND b.api = $2 AND b.milli_rate = $3) AS fits
