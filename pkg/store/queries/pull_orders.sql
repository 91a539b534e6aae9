-- Pulls forward open orders that are looked at later than the tight gear would, spread
-- over its interval, from one instant on. Rows that somebody holds are passed over; a
-- later call finds them.
WITH late AS MATERIALIZED (
    SELECT o.out_trade_no, o.next_check_at
    FROM orders AS o
    WHERE o.mchid = $1 AND o.check_api = 'order_query' AND o.next_check_at >= $2
      AND o.next_check_at > now() + make_interval(secs => CASE WHEN o.created_at > now() - make_interval(secs => $4::float8) THEN $5::float8 ELSE $6::float8 END)
      AND o.state IN ('created', 'awaiting_payment')
    ORDER BY o.next_check_at
    LIMIT $3
    FOR NO KEY UPDATE SKIP LOCKED
), pulled AS (
    UPDATE orders AS o
    SET next_check_at = now() + random() * make_interval(secs => CASE WHEN o.created_at > now() - make_interval(secs => $4::float8) THEN $5::float8 ELSE $6::float8 END)
    WHERE o.mchid = $1 AND o.out_trade_no = ANY (ARRAY(SELECT l.out_trade_no FROM late AS l))
)
SELECT count(*) AS pulled, max(l.next_check_at) AS reached
FROM late AS l
