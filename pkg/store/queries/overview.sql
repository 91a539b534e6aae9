-- What waits, and since when. What is unresolved has a next check, so the indexes of
-- what is due find the orders and refunds.
SELECT now() AS at,
       o.rows AS order_rows, o.oldest AS orders, r.rows AS refund_rows, r.oldest AS refunds,
       l.rows AS letter_rows, l.oldest AS letters, w.rows AS waiting_rows, w.oldest AS waiting, e.rows AS outbox_rows, e.oldest AS outbox,
       (SELECT count(*) FROM anomalies WHERE state = 'open') AS anomaly_rows
FROM (SELECT count(*) AS rows, min(created_at) AS oldest FROM orders
      WHERE next_check_at IS NOT NULL AND state IN ('created', 'awaiting_payment')) AS o,
     (SELECT count(*) AS rows, min(created_at) AS oldest FROM refunds
      WHERE next_check_at IS NOT NULL AND state IN ('requested', 'processing', 'abnormal')) AS r,
     (SELECT count(*) AS rows, min(first_failed_at) AS oldest FROM dead_letters WHERE state = 'open') AS l,
     (SELECT count(*) AS rows, min(first_failed_at) AS oldest FROM dead_letters WHERE state = 'waiting') AS w,
     (SELECT count(*) AS rows, min(created_at) AS oldest FROM outbox) AS e
