-- Keeps how far a subscriber has acknowledged, if that is not what the latest sample says.
INSERT INTO subscriber_acks (subscriber_id, stream_created_at, ack_floor, stored_at)
SELECT $1, $2, $3, $4
WHERE NOT EXISTS (
    SELECT
    FROM (SELECT k.stream_created_at, k.ack_floor
          FROM subscriber_acks AS k
          WHERE k.subscriber_id = $1
          ORDER BY k.sampled_at DESC
          LIMIT 1) AS latest
    WHERE latest.stream_created_at = $2 AND latest.ack_floor = $3)
