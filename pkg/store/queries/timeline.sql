-- Everything that happened to one order, the oldest first. What happened at the same
-- instant stands in the order of cause and effect: the message, what it became in the
-- books or among the letters, what subscribers are told, what operators did.
SELECT 1 AS rank, d.received_at AS at, 'delivery' AS kind, d.kind AS what, '' AS source, '' AS from_state, '' AS to_state, 0 AS sequence,
       d.transaction_id, '' AS out_refund_no, d.delivery_id, d.notification_id, d.key_id, NULL::uuid AS event_id,
       NULL::timestamptz AS published_at, 0 AS stream_sequence, '' AS state, '' AS actor, d.event_type AS detail
FROM deliveries AS d
WHERE d.mchid = $1 AND d.out_trade_no = $2 AND d.out_trade_no <> ''
UNION ALL
SELECT 2, l.first_failed_at, 'letter', l.reason, '', '', '', 0, l.transaction_id, '', l.delivery_id, l.notification_id, l.key_id, NULL,
       NULL, 0, l.state, '', l.detail
FROM dead_letters AS l
WHERE l.mchid = $1 AND l.out_trade_no = $2
UNION ALL
SELECT 3, h.at, 'history', h.what, h.source,
       CASE WHEN h.refund_to <> '' THEN h.refund_from ELSE h.from_state END,
       CASE WHEN h.refund_to <> '' THEN h.refund_to ELSE h.to_state END,
       h.sequence, h.transaction_id, h.out_refund_no, h.delivery_id, '', h.key_id, NULL, NULL, 0, '', '', h.detail
FROM history AS h
WHERE h.mchid = $1 AND h.out_trade_no = $2
UNION ALL
SELECT 4, e.created_at, 'event', e.fact, '', '', '', (e.payload::json -> 'data' ->> 'sequence')::bigint, '', '', NULL, '', '', e.event_id,
       NULL, 0, '', '', ''
FROM outbox AS e
WHERE e.mchid = $1 AND e.out_trade_no = $2
UNION ALL
SELECT 4, e.created_at, 'event', e.fact, '', '', '', (e.payload::json -> 'data' ->> 'sequence')::bigint, '', '', NULL, '', '', e.event_id,
       e.published_at, e.stream_sequence, '', '', ''
FROM published AS e
WHERE e.mchid = $1 AND e.out_trade_no = $2
UNION ALL
SELECT 5, a.at, 'audit', a.action, '', '', '', 0, coalesce(a.detail ->> 'transaction_id', ''),
       CASE WHEN a.action LIKE 'refund.%' THEN a.subject ELSE coalesce(a.detail ->> 'out_refund_no', '') END,
       NULL, '', '', NULL, NULL, 0, '', a.actor, coalesce(a.detail ->> 'reason', '')
FROM audit AS a
WHERE a.mchid = $1 AND a.subject = $2 AND a.action NOT LIKE 'refund.%' AND a.action NOT LIKE 'dead\_letter.%' AND a.action NOT LIKE 'subscriber.%'
UNION ALL
SELECT 5, a.at, 'audit', a.action, '', '', '', 0, '', r.out_refund_no, NULL, '', '', NULL, NULL, 0, '', a.actor, coalesce(a.detail ->> 'reason', '')
FROM refunds AS r JOIN audit AS a ON a.mchid = r.mchid AND a.subject = r.out_refund_no
WHERE r.mchid = $1 AND r.out_trade_no = $2 AND a.action LIKE 'refund.%'
UNION ALL
SELECT 5, a.at, 'audit', a.action, '', '', '', 0, '', '', l.delivery_id, '', '', NULL, NULL, 0, '', a.actor, coalesce(a.detail ->> 'reason', '')
FROM dead_letters AS l JOIN audit AS a ON a.mchid = l.mchid AND a.subject = l.delivery_id::text
WHERE l.mchid = $1 AND l.out_trade_no = $2 AND a.action LIKE 'dead\_letter.%'
ORDER BY at, rank, sequence, what
