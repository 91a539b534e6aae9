-- Age of the oldest row and number of rows of each queue. What is unresolved has
-- a next check, so the indexes of what is due answer for orders and refunds.
SELECT coalesce(extract(epoch FROM now() - o.oldest), 0)::float8 AS outbox, o.rows AS outbox_rows,
       coalesce(extract(epoch FROM now() - w.oldest), 0)::float8 AS waiting, w.rows AS waiting_rows,
       coalesce(extract(epoch FROM now() - p.oldest), 0)::float8 AS open, p.rows AS open_rows,
       coalesce(extract(epoch FROM now() - d.oldest), 0)::float8 AS orders, d.rows AS order_rows,
       coalesce(extract(epoch FROM now() - r.oldest), 0)::float8 AS refunds, r.rows AS refund_rows,
       coalesce(extract(epoch FROM now() - a.oldest), 0)::float8 AS anomalies, a.rows AS anomaly_rows,
       (SELECT count(*) FROM refunds WHERE next_check_at IS NOT NULL AND state = 'abnormal') AS abnormal_rows,
       (SELECT count(*) FROM deliveries_default) + (SELECT count(*) FROM published_default) AS stray_rows
FROM (SELECT min(created_at) AS oldest, count(*) AS rows FROM outbox) AS o,
     (SELECT min(first_failed_at) AS oldest, count(*) AS rows FROM dead_letters WHERE state = 'waiting') AS w,
     (SELECT min(first_failed_at) AS oldest, count(*) AS rows FROM dead_letters WHERE state IN ('open', 'replaying')) AS p,
     (SELECT min(next_check_at) AS oldest, count(*) AS rows FROM orders WHERE next_check_at <= now()) AS d,
     (SELECT min(next_check_at) AS oldest, count(*) AS rows FROM refunds WHERE next_check_at <= now()) AS r,
     (SELECT min(observed_at) AS oldest, count(*) AS rows FROM anomalies WHERE state = 'open') AS a
