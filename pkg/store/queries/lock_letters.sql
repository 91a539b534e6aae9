-- Locks the letters of deliveries in the order of their key, and says where they stand.
SELECT l.mchid, l.delivery_id, l.state
FROM unnest($1::text[], $2::uuid[]) AS k (mchid, delivery_id)
JOIN dead_letters AS l ON l.mchid = k.mchid AND l.delivery_id = k.delivery_id
ORDER BY l.mchid, l.delivery_id
FOR UPDATE OF l
