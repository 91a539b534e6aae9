-- Whether any refund waits for this call, and whether the bucket has the rate that is configured.
SELECT EXISTS (SELECT FROM refunds AS r
               WHERE r.mchid = $1 AND r.check_api = $4 AND r.next_check_at <= now()
                 AND (r.leased_until IS NULL OR r.leased_until <= now()) AND ($5::text = '' OR r.out_refund_no = $5)) AS due,
       EXISTS (SELECT FROM api_budgets AS b WHERE b.mchid = $1 AND b.api = $2 AND b.milli_rate = $3) AS fits
