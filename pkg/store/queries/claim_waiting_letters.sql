-- Leases waiting letters that are due, the longest due first.
WITH due AS (
    SELECT mchid, delivery_id
    FROM dead_letters
    WHERE state = 'waiting' AND next_retry_at <= now()
    ORDER BY next_retry_at
    LIMIT $1
    FOR UPDATE SKIP LOCKED
)
UPDATE dead_letters AS l
SET next_retry_at = now() + make_interval(secs => $2)
FROM due
WHERE l.mchid = due.mchid AND l.delivery_id = due.delivery_id
RETURNING l.mchid, l.delivery_id, l.kind, l.received_at, l.headers, l.body, l.trace_parent, l.stream, l.stream_sequence, l.stream_index,
          l.key_id, l.notification_id, l.event_type, l.out_trade_no, l.transaction_id, l.reason, l.detail, l.state, l.attempts,
          l.first_failed_at, l.last_failed_at, l.next_retry_at, l.resolved_at
