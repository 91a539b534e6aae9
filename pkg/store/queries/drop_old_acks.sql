-- Drops samples that are older than an instant, so many at most. The latest of each
-- subscriber that is not dropped stays, however old: a consumer is made again from it.
DELETE FROM subscriber_acks AS k
USING (
    SELECT o.subscriber_id, o.stream_created_at, o.ack_floor, o.sampled_at
    FROM subscriber_acks AS o
    WHERE o.sampled_at < $1
      AND (EXISTS (SELECT FROM subscriber_acks AS n WHERE n.subscriber_id = o.subscriber_id AND n.sampled_at > o.sampled_at)
           OR EXISTS (SELECT FROM subscribers AS s WHERE s.subscriber_id = o.subscriber_id AND s.dropped_at IS NOT NULL))
    ORDER BY o.sampled_at
    LIMIT $2
) AS old
WHERE (k.subscriber_id, k.stream_created_at, k.ack_floor, k.sampled_at) = (old.subscriber_id, old.stream_created_at, old.ack_floor, old.sampled_at)
