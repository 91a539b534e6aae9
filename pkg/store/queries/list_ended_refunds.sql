-- list_ended_refunds
-- A page of closed or of failed refunds, the newest first; an index holds these alone.
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
    SELECT e.mchid, e.out_refund_no
    FROM refunds AS e
    WHERE e.mchid = s.mchid AND e.state = $2 AND e.state IN ('closed', 'failed')
      AND e.created_at >= $3::timestamptz AND e.created_at <= $4::timestamptz
      AND (e.created_at, e.mchid, e.out_refund_no) < ($4::timestamptz, $5::text, $6::text)
    ORDER BY e.created_at DESC, e.out_refund_no DESC
    LIMIT $7
) AS p JOIN refunds AS r ON r.mchid = p.mchid AND r.out_refund_no = p.out_refund_no
ORDER BY r.created_at DESC, r.mchid DESC, r.out_refund_no DESC
LIMIT $7
