-- A page of closed or of failed orders, the newest first; an index holds these alone.
WITH RECURSIVE shops AS (
    SELECT coalesce(nullif($1, ''), (SELECT o.mchid FROM orders AS o WHERE o.mchid > '' ORDER BY o.mchid LIMIT 1)) AS mchid
    UNION ALL
    SELECT (SELECT o.mchid FROM orders AS o WHERE o.mchid > s.mchid AND $1 = '' ORDER BY o.mchid LIMIT 1)
    FROM shops AS s
    WHERE s.mchid IS NOT NULL
)
SELECT o.mchid, o.out_trade_no, o.appid, o.client, o.protocol, o.description, o.amount_fen, o.currency, o.openid, o.attach, o.digest,
       o.state, o.sequence, o.created_at, o.updated_at, o.expires_at, o.prepay_id, o.code_url, o.h5_url, o.credential_expires_at,
       o.transaction_id, o.paid_at, o.late, o.closed_at, o.failure_code, o.failure_reason, o.next_check_at,
       o.check_api, o.close_count, o.close_requested_at, o.checked_at, o.account_id
FROM shops AS s CROSS JOIN LATERAL (
    SELECT e.mchid, e.out_trade_no, e.created_at
    FROM orders AS e
    WHERE e.mchid = s.mchid AND e.state = $2 AND e.state IN ('closed', 'failed')
      AND e.created_at >= $3::timestamptz AND e.created_at <= $4::timestamptz
      AND (e.created_at, e.mchid, e.out_trade_no) < ($4::timestamptz, $5::text, $6::text)
    ORDER BY e.created_at DESC, e.out_trade_no DESC
    LIMIT $7
) AS p JOIN orders AS o ON o.mchid = p.mchid AND o.out_trade_no = p.out_trade_no
ORDER BY o.created_at DESC, o.mchid DESC, o.out_trade_no DESC
LIMIT $7
