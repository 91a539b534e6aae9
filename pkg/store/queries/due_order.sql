-- Makes an order that may still be paid due now. What is due already stays as it is:
-- a close that waits for its token is not put off by questions.
UPDATE orders
SET next_check_at = now(), check_api = 'order_query'
WHERE mchid = $1 AND out_trade_no = $2 AND state IN ('created', 'awaiting_payment', 'failed')
  AND (next_check_at IS NULL OR next_check_at > now())
