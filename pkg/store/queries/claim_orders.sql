-- Claims the orders that are longest due, each with a token, and pushes them to the
-- end of the lease.
--
-- The bucket is locked first, so that claims of one budget come one after the other.
-- The snapshot may be older than the lock: a row that the claim before took is read
-- again in its newest version when it is locked here, is not due any more, and is
-- passed over. A row that somebody else holds is not waited for. Found rows are
-- updated by a list of their numbers, since a join could be planned as a scan of all
-- orders; and what is due is compared with now(), of which the planner knows the value:
-- with any other instant it takes a third of the table for due and compiles the
-- statement (JIT), which takes longer than running it.
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
    SELECT o.out_trade_no, o.next_check_at
    FROM orders AS o
    WHERE o.mchid = $1 AND o.check_api = $4 AND o.next_check_at <= now()
      AND ($7::text = '' OR o.out_trade_no = $7)
    ORDER BY o.next_check_at
    LIMIT coalesce((SELECT p.granted FROM purse AS p), 0)
    FOR NO KEY UPDATE SKIP LOCKED
), claimed AS (
    UPDATE orders AS o
    SET next_check_at = (SELECT p.lease FROM purse AS p)
    WHERE o.mchid = $1 AND o.out_trade_no = ANY (ARRAY(SELECT d.out_trade_no FROM due AS d))
    RETURNING o.mchid, o.out_trade_no, o.appid, o.client, o.protocol, o.description, o.amount_fen, o.currency, o.openid, o.attach,
              o.digest, o.state, o.sequence, o.created_at, o.updated_at, o.expires_at, o.prepay_request, o.prepay_id, o.code_url, o.h5_url,
              o.credential_expires_at, o.transaction_id, o.paid_at, o.late, o.closed_at, o.failure_code, o.failure_reason, o.next_check_at,
              o.check_api, o.close_count, o.close_requested_at, o.checked_at, o.account_id
), spent AS (
    UPDATE api_budgets AS b
    SET milli_tokens = p.held - 1000 * c.taken, refilled_at = greatest(b.refilled_at, p.at)
    FROM purse AS p, (SELECT count(*) AS taken FROM claimed) AS c
    WHERE b.mchid = $1 AND b.api = $2 AND c.taken > 0
)
SELECT p.lease, p.granted,
       c.mchid, c.out_trade_no, c.appid, c.client, c.protocol, c.description, c.amount_fen, c.currency, c.openid, c.attach,
       c.digest, c.state, c.sequence, c.created_at, c.updated_at, c.expires_at, c.prepay_request, c.prepay_id, c.code_url, c.h5_url,
       c.credential_expires_at, c.transaction_id, c.paid_at, c.late, c.closed_at, c.failure_code, c.failure_reason, c.next_check_at,
       c.check_api, c.close_count, c.close_requested_at, c.checked_at, c.account_id
FROM claimed AS c
JOIN due AS d ON d.out_trade_no = c.out_trade_no
CROSS JOIN purse AS p
ORDER BY d.next_check_at, c.out_trade_no
