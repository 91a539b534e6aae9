-- The order of a refund that was told of. No index knows it: it is asked for where a
-- command names a payment that is in no book.
SELECT p.out_trade_no
FROM published AS p
WHERE p.mchid = $1 AND p.fact = 'refund.requested' AND p.published_at >= $3
  AND p.payload::jsonb -> 'data' -> 'refund' ->> 'out_refund_no' = $2
LIMIT 1
