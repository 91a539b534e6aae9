-- A page of orders, the newest first, of any state or of one that many are in. The
-- history's first lines say when orders began; each merchant gives a page, and the
-- newest of these are the page of all.
WITH RECURSIVE shops AS (
    SELECT coalesce(nullif($1, ''), (SELECT o.mchid FROM orders AS o WHERE o.mchid > '' ORDER BY o.mchid LIMIT 1)) AS mchid
    UNION ALL
    SELECT (SELECT o.mchid FROM orders AS o WHERE o.mchid > s.mchid AND $1 = '' ORDER BY o.mchid LIMIT 1)
    FROM shops AS s
    WHERE s.mchid IS NOT NULL
), page AS (
    SELECT b.mchid, b.out_trade_no
    FROM shops AS s CROSS JOIN LATERAL (
        SELECT h.mchid, h.out_trade_no, h.at
        FROM history AS h JOIN orders AS o ON o.mchid = h.mchid AND o.out_trade_no = h.out_trade_no
        WHERE h.mchid = s.mchid AND h.sequence = 1
          AND h.at >= $3::timestamptz AND h.at <= $4::timestamptz AND (h.at, h.mchid, h.out_trade_no) < ($4::timestamptz, $5::text, $6::text)
          AND ($2 = '' OR o.state = $2)
        ORDER BY h.at DESC, h.out_trade_no DESC
        LIMIT $7
    ) AS b
    ORDER BY b.at DESC, b.mchid DESC, b.out_trade_no DESC
    LIMIT $7
)
SELECT o.mchid, o.out_trade_no, o.appid, o.client, o.protocol, o.description, o.amount_fen, o.currency, o.openid, o.attach, o.digest,
       o.state, o.sequence, o.created_at, o.updated_at, o.expires_at, o.prepay_id, o.code_url, o.h5_url, o.credential_expires_at,
       o.transaction_id, o.paid_at, o.late, o.closed_at, o.failure_code, o.failure_reason, o.next_check_at,
       o.check_api, o.close_count, o.close_requested_at, o.checked_at, o.account_id
FROM page AS p JOIN orders AS o ON o.mchid = p.mchid AND o.out_trade_no = p.out_trade_no
ORDER BY o.created_at DESC, o.mchid DESC, o.out_trade_no DESC
