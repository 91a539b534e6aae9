-- Why: WeChat sends a server message up to four times, and each is told to business
--      systems once. What was published is remembered for a week, as long as the stream
--      MESSAGE keeps it; the broker's own window ends after minutes.
-- Lock: none that anybody waits for; the table is new.
-- Back: DROP TABLE messages_seen.

-- +goose Up

-- No merchant's number: WeChat names the app, and an app's number is its own.
CREATE TABLE messages_seen (
    appid     text        NOT NULL,
    dedup_key text        NOT NULL,
    seen_at   timestamptz NOT NULL,

    PRIMARY KEY (appid, dedup_key),
    CONSTRAINT messages_seen_appid_is_set       CHECK (appid <> ''),
    CONSTRAINT messages_seen_key_is_set         CHECK (dedup_key <> ''),
    CONSTRAINT messages_seen_key_fits_its_index CHECK (octet_length(dedup_key) <= 512)
);

CREATE INDEX messages_seen_by_time ON messages_seen (seen_at);
