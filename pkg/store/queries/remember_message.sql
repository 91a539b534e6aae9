-- Remembers a server message that is published. Of twins the first is remembered.
INSERT INTO messages_seen (appid, dedup_key, seen_at)
VALUES ($1, $2, $3)
ON CONFLICT (appid, dedup_key) DO NOTHING
