-- The latest sample of each subscriber.
SELECT s.subscriber_id, a.stream_created_at AS sample_stream, a.ack_floor, a.stored_at, a.sampled_at
FROM unnest($1::uuid[]) AS s (subscriber_id)
CROSS JOIN LATERAL (
    SELECT k.stream_created_at, k.ack_floor, k.stored_at, k.sampled_at
    FROM subscriber_acks AS k
    WHERE k.subscriber_id = s.subscriber_id
    ORDER BY k.sampled_at DESC
    LIMIT 1
) AS a
