-- Claims the hints that are longest due, each with a token; see claim_orders.sql for how.
WITH bucket AS MATERIALIZED (
    SELECT b.milli_tokens, b.milli_rate, b.milli_burst, b.refilled_at, b.halved_until
    FROM api_budgets AS b
    WHERE b.mchid = $1 AND b.api = $2 AND b.milli_rate = $3
      AND budget_tokens(b.milli_tokens, b.milli_rate, b.milli_burst, b.refilled_at, b.halved_until, clock_timestamp()) >= 1000
    FOR UPDATE
), locked AS MATERIALIZED (
    SELECT b.milli_tokens, b.milli_rate, b.milli_burst, b.refilled_at, b.halved_until, clock_timestamp() AS at
    FROM bucket AS b
), purse AS MATERIALIZED (
    SELECT l.at, l.at + make_interval(secs => $5) AS lease, least(t.held / 1000, $4::bigint) AS granted, t.held
    FROM locked AS l,
         LATERAL (SELECT budget_tokens(l.milli_tokens, l.milli_rate, l.milli_burst, l.refilled_at, l.halved_until, l.at)) AS t (held)
), due AS MATERIALIZED (
    SELECT h.out_refund_no, h.next_check_at
    FROM refund_hints AS h
    WHERE h.mchid = $1 AND h.next_check_at <= now()
    ORDER BY h.next_check_at
    LIMIT coalesce((SELECT p.granted FROM purse AS p), 0)
    FOR NO KEY UPDATE SKIP LOCKED
), claimed AS (
    UPDATE refund_hints AS h
    SET next_check_at = (SELECT p.lease FROM purse AS p)
    WHERE h.mchid = $1 AND h.out_refund_no = ANY (ARRAY(SELECT d.out_refund_no FROM due AS d))
    RETURNING h.mchid, h.out_refund_no, h.out_trade_no, h.protocol, h.check_count, h.next_check_at AS lease
), spent AS (
    UPDATE api_budgets AS b
    SET milli_tokens = p.held - 1000 * c.taken, refilled_at = greatest(b.refilled_at, p.at)
    FROM purse AS p, (SELECT count(*) AS taken FROM claimed) AS c
    WHERE b.mchid = $1 AND b.api = $2 AND c.taken > 0
)
SELECT c.mchid, c.out_refund_no, c.out_trade_no, c.protocol, c.check_count, c.lease, coalesce(o.appid, '') AS appid
FROM claimed AS c
JOIN due AS d ON d.out_refund_no = c.out_refund_no
LEFT JOIN orders AS o ON o.mchid = c.mchid AND o.out_trade_no = c.out_trade_no
ORDER BY d.next_check_at, c.out_refund_no
