-- Makes orders due for a query at once: unresolved ones, and failed ones, which
-- may have been paid all the same. Paid and closed ones are asked about by nobody.
UPDATE orders AS o
SET next_check_at = least(o.next_check_at, now()), check_api = 'order_query'
FROM unnest($1::text[], $2::text[]) AS k (mchid, out_trade_no)
WHERE o.mchid = k.mchid AND o.out_trade_no = k.out_trade_no
  AND o.state IN ('created', 'awaiting_payment', 'failed')
RETURNING o.mchid, o.out_trade_no, o.next_check_at
