-- A page of letters, the oldest first, without their bytes. Each state gives a page, and
-- the oldest of these are the page of all.
SELECT l.mchid, l.delivery_id, l.kind, l.received_at, l.trace_parent, l.stream, l.stream_sequence, l.stream_index,
       l.key_id, l.notification_id, l.event_type, l.out_trade_no, l.transaction_id, l.reason, l.detail, l.state, l.attempts,
       l.first_failed_at, l.last_failed_at, l.next_retry_at, l.resolved_at
FROM unnest($3::text[]) AS s (state) CROSS JOIN LATERAL (
    SELECT d.mchid, d.delivery_id
    FROM dead_letters AS d
    WHERE d.state = s.state AND ($1 = '' OR d.mchid = $1) AND ($2 = '' OR d.reason = $2)
      AND d.first_failed_at >= $4::timestamptz
      AND (d.first_failed_at, d.delivery_id) > ($5::timestamptz, $6::uuid)
    ORDER BY d.first_failed_at, d.delivery_id
    LIMIT $7
) AS p JOIN dead_letters AS l ON l.mchid = p.mchid AND l.delivery_id = p.delivery_id
ORDER BY l.first_failed_at, l.delivery_id
LIMIT $7
