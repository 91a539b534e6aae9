-- Forgets server messages that were published before an instant, so many at most.
DELETE FROM messages_seen AS m
USING (
    SELECT o.appid, o.dedup_key
    FROM messages_seen AS o
    WHERE o.seen_at < $1
    ORDER BY o.seen_at
    LIMIT $2
) AS old
WHERE (m.appid, m.dedup_key) = (old.appid, old.dedup_key)
