-- Tells whether a server message was published already.
SELECT EXISTS (SELECT FROM messages_seen AS m WHERE m.appid = $1 AND m.dedup_key = $2)
