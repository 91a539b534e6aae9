-- The letters that lack nothing but this order, in the order of their arrival;
-- those that an operator was already called for are among them.
SELECT    l.mchid, l.delivery_id, l.kind, l.received_at, l.headers, l.body, l.trace_parent, l.stream, l.stream_sequence, l.stream_index,
          l.key_id, l.notification_id, l.event_type, l.out_trade_no, l.transaction_id, l.reason, l.detail, l.state, l.attempts,
          l.first_failed_at, l.last_failed_at, l.next_retry_at, l.resolved_at
FROM dead_letters AS l
WHERE l.mchid = $1 AND l.out_trade_no = $2 AND l.reason = 'unknown_order' AND l.state IN ('waiting', 'open')
ORDER BY l.delivery_id
