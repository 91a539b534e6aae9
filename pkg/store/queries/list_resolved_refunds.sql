-- list_resolved_refunds
-- A page of the refunds in some of the states in which a refund is resolved, the newest
-- first. The lines of history that begin a refund say when it was asked for; each merchant
-- gives a page, and the newest of these are the page of all.
WITH RECURSIVE shops AS (
    SELECT coalesce(nullif($1, ''), (SELECT o.mchid FROM orders AS o WHERE o.mchid > '' ORDER BY o.mchid LIMIT 1)) AS mchid
    UNION ALL
    SELECT (SELECT o.mchid FROM orders AS o WHERE o.mchid > s.mchid AND $1 = '' ORDER BY o.mchid LIMIT 1)
    FROM shops AS s
    WHERE s.mchid IS NOT NULL
)
SELECT r.mchid, r.out_refund_no, r.out_trade_no, r.transaction_id, r.refund_id, r.amount_fen, r.currency, r.reason, r.funds, r.origin,
       r.digest, r.state, r.sequence, r.created_at, r.updated_at, r.succeeded_at, r.received_account, r.failure_code,
       r.failure_reason, r.next_check_at, r.check_api, r.check_count, r.abnormal_rounds
FROM shops AS s CROSS JOIN LATERAL (
    SELECT h.at, b.mchid, b.out_refund_no, b.out_trade_no, b.transaction_id, b.refund_id, b.amount_fen, b.currency, b.reason, b.funds, b.origin,
           b.digest, b.state, b.sequence, b.created_at, b.updated_at, b.succeeded_at, b.received_account, b.failure_code,
           b.failure_reason, b.next_check_at, b.check_api, b.check_count, b.abnormal_rounds
    FROM history AS h JOIN refunds AS b ON b.mchid = h.mchid AND b.out_refund_no = h.out_refund_no
    WHERE h.mchid = s.mchid AND h.refund_from = '' AND h.refund_to <> ''
      AND h.at >= $3::timestamptz AND h.at <= $4::timestamptz AND (h.at, h.mchid, h.out_refund_no) < ($4::timestamptz, $5::text, $6::text)
      AND b.state = ANY ($2::text[])
    ORDER BY h.at DESC, h.out_refund_no DESC
    LIMIT $7
) AS r
ORDER BY r.at DESC, r.mchid DESC, r.out_refund_no DESC
LIMIT $7
