-- Keeps that the shop wants an order closed, and asks WeChat Pay about it now, or as
-- soon as what is due already was done.
UPDATE orders
SET close_requested_at = coalesce(close_requested_at, now()),
    check_api          = CASE WHEN next_check_at > now() THEN 'order_query' ELSE check_api END,
    next_check_at      = least(next_check_at, now())
WHERE mchid = $1 AND out_trade_no = $2 AND state IN ('created', 'awaiting_payment')
  AND (close_requested_at IS NULL OR next_check_at > now())
