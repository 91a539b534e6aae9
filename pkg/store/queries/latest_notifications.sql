-- The newest notifications of a merchant as they arrived, settled or not. Ids are
-- UUIDv7, so the key gives them by age.
SELECT delivery_id, kind, received_at, headers, body, key_id
FROM deliveries
WHERE mchid = $1 AND kind IN ('notify_v3', 'notify_v2_pay', 'notify_v2_refund')
ORDER BY delivery_id DESC
LIMIT $2
