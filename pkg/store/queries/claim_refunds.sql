-- Claims the refunds that are longest due and that nobody holds, each with a token,
-- until the end of the lease; see claim_orders.sql for how. Of unsent refunds of one
-- payment only the first comes: the others would be told to wait.
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
    SELECT l.at, l.at + make_interval(secs => $6) AS lease, least(t.held / 1000, $5::bigint) AS granted, t.held
    FROM locked AS l,
         LATERAL (SELECT budget_tokens(l.milli_tokens, l.milli_rate, l.milli_burst, l.refilled_at, l.halved_until, l.at)) AS t (held)
), due AS MATERIALIZED (
    SELECT r.out_refund_no, r.next_check_at
    FROM refunds AS r
    WHERE r.mchid = $1 AND r.check_api = $4 AND r.next_check_at <= now()
      AND (r.leased_until IS NULL OR r.leased_until <= now())
      AND ($7::text = '' OR r.out_refund_no = $7)
      AND ($4 <> 'refund' OR $7 <> '' OR NOT EXISTS (
          SELECT FROM refunds AS s
          WHERE s.mchid = $1 AND s.transaction_id = r.transaction_id AND s.check_api = 'refund'
            AND s.next_check_at <= now()
            AND (s.next_check_at, s.out_refund_no) < (r.next_check_at, r.out_refund_no)))
    ORDER BY r.next_check_at
    LIMIT coalesce((SELECT p.granted FROM purse AS p), 0)
    FOR NO KEY UPDATE OF r SKIP LOCKED
), claimed AS (
    UPDATE refunds AS r
    SET next_check_at = (SELECT p.lease FROM purse AS p), leased_until = (SELECT p.lease FROM purse AS p)
    WHERE r.mchid = $1 AND r.out_refund_no = ANY (ARRAY(SELECT d.out_refund_no FROM due AS d))
    RETURNING r.mchid, r.out_refund_no, r.out_trade_no, r.transaction_id, r.refund_id, r.amount_fen, r.currency, r.reason, r.funds,
              r.origin, r.digest, r.state, r.sequence, r.request, r.created_at, r.updated_at, r.succeeded_at, r.received_account,
              r.failure_code, r.failure_reason, r.next_check_at, r.check_api, r.check_count, r.abnormal_rounds,
              r.abnormal_request, r.abnormal_key_id
), spent AS (
    UPDATE api_budgets AS b
    SET milli_tokens = p.held - 1000 * c.taken, refilled_at = greatest(b.refilled_at, p.at)
    FROM purse AS p, (SELECT count(*) AS taken FROM claimed) AS c
    WHERE b.mchid = $1 AND b.api = $2 AND c.taken > 0
)
SELECT p.lease, p.granted, o.appid, o.protocol, y.amount_fen AS total_fen,
       c.mchid, c.out_refund_no, c.out_trade_no, c.transaction_id, c.refund_id, c.amount_fen, c.currency, c.reason, c.funds,
       c.origin, c.digest, c.state, c.sequence, c.request, c.created_at, c.updated_at, c.succeeded_at, c.received_account,
       c.failure_code, c.failure_reason, c.next_check_at, c.check_api, c.check_count, c.abnormal_rounds,
       c.abnormal_request, c.abnormal_key_id
FROM claimed AS c
JOIN due AS d ON d.out_refund_no = c.out_refund_no
JOIN orders AS o ON o.mchid = c.mchid AND o.out_trade_no = c.out_trade_no
JOIN payments AS y ON y.mchid = c.mchid AND y.transaction_id = c.transaction_id
CROSS JOIN purse AS p
ORDER BY d.next_check_at, c.out_refund_no
