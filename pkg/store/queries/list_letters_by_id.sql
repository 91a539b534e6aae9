-- The letters of these deliveries in any state, the oldest first, without their bytes.
SELECT l.mchid, l.delivery_id, l.kind, l.received_at, l.trace_parent, l.stream, l.stream_sequence, l.stream_index,
       l.key_id, l.notification_id, l.event_type, l.out_trade_no, l.transaction_id, l.reason, l.detail, l.state, l.attempts,
       l.first_failed_at, l.last_failed_at, l.next_retry_at, l.resolved_at
FROM dead_letters AS l
WHERE l.delivery_id = ANY ($1::uuid[])
ORDER BY l.first_failed_at, l.delivery_id
