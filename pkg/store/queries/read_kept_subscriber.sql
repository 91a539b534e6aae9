-- A subscriber whose consumer may be there, with the latest sample of it.
SELECT s.subscriber_id, s.name, s.mchid, s.nkey, array_to_string(s.facts, ',') AS facts, s.from_at, s.stream_created_at, s.starts_after,
       s.created_at, s.created_by, s.removed_at, a.stream_created_at AS sample_stream, a.ack_floor, a.stored_at, a.sampled_at
FROM subscribers AS s
CROSS JOIN LATERAL (
    SELECT k.stream_created_at, k.ack_floor, k.stored_at, k.sampled_at
    FROM subscriber_acks AS k
    WHERE k.subscriber_id = s.subscriber_id
    ORDER BY k.sampled_at DESC
    LIMIT 1
) AS a
WHERE s.subscriber_id = $1 AND s.dropped_at IS NULL
