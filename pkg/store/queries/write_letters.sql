-- Writes a letter for each delivery that could not be settled, or counts one
-- more failure of a known one. What happens to the state of a known letter:
--   waiting   stays waiting for the same kind of reason, else opens
--   discarded stays discarded: a person decided
--   the rest  opens: a person is (again) needed. That holds for a resolved
--             letter too: its effect is in the books, but its bytes no longer
--             settle, and somebody should know why.
-- Retries of a waiting letter come after 1, 2, 4 … seconds, 30 at most.
INSERT INTO dead_letters AS l (mchid, delivery_id, kind, received_at, headers, body, trace_parent, stream, stream_sequence,
                               stream_index, key_id, notification_id, event_type, out_trade_no, transaction_id,
                               reason, detail, state, next_retry_at)
SELECT d.mchid, d.delivery_id, d.kind, d.received_at, d.headers, d.body, d.trace_parent, d.stream, d.stream_sequence,
       d.stream_index, d.key_id, d.notification_id, d.event_type, nullif(d.out_trade_no, ''), d.transaction_id,
       d.reason, d.detail, d.state, CASE WHEN d.state = 'waiting' THEN now() + interval '1 second' END
FROM unnest($1::text[], $2::uuid[], $3::text[], $4::timestamptz[], $5::text[], $6::bytea[], $7::text[], $8::text[],
            $9::bigint[], $10::bigint[], $11::text[], $12::text[], $13::text[], $14::text[], $15::text[],
            $16::text[], $17::text[], $18::text[])
    AS d (mchid, delivery_id, kind, received_at, headers, body, trace_parent, stream, stream_sequence, stream_index,
          key_id, notification_id, event_type, out_trade_no, transaction_id, reason, detail, state)
ON CONFLICT (mchid, delivery_id) DO UPDATE
SET attempts       = l.attempts + 1,
    reason         = excluded.reason,
    detail         = excluded.detail,
    last_failed_at = now(),
    out_trade_no   = coalesce(excluded.out_trade_no, l.out_trade_no),
    transaction_id = CASE WHEN excluded.transaction_id <> '' THEN excluded.transaction_id ELSE l.transaction_id END,
    state          = CASE WHEN l.state = 'discarded' THEN l.state
                          WHEN l.state = 'waiting' THEN excluded.state
                          ELSE 'open' END,
    next_retry_at  = CASE WHEN l.state = 'waiting' AND excluded.state = 'waiting'
                          THEN now() + make_interval(secs => least(power(2, least(l.attempts, 5)), 30)) END,
    resolved_at    = NULL
