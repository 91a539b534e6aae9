-- For each subscriber and event, the first sample that covers the event's position: of
-- the same stream, and after the event was published there, because a stream that was
-- restored gives its positions a second time.
SELECT q.place, a.sampled_at
FROM unnest($1::uuid[], $2::timestamptz[], $3::bigint[], $4::timestamptz[]) WITH ORDINALITY AS q (subscriber_id, stream_created_at, sequence, published_at, place)
CROSS JOIN LATERAL (
    SELECT k.sampled_at
    FROM subscriber_acks AS k
    WHERE k.subscriber_id = q.subscriber_id AND k.stream_created_at = q.stream_created_at
      AND k.ack_floor >= q.sequence AND k.sampled_at >= q.published_at
    ORDER BY k.ack_floor, k.sampled_at
    LIMIT 1
) AS a
ORDER BY q.place
