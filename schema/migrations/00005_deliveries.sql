-- Why: the archive of every message of WeChat Pay as it arrived (deliveries), and
--      what could not be settled (dead letters). Nothing decides "duplicate" here.
-- Lock: none that anybody waits for; all tables are new.
-- Back: DROP TABLE deliveries, dead_letters, delivery_attempts. The bytes are gone with them.

-- +goose Up

-- Range-partitioned by delivery id: a UUIDv7 begins with its millisecond, so a
-- range of ids is a day, and the key stays unique without another column.
-- DEFAULT takes ids that no day wants (forged ones, or days nobody prepared).
CREATE TABLE deliveries (
    mchid           text        NOT NULL,
    delivery_id     uuid        NOT NULL,
    kind            text        NOT NULL,
    received_at     timestamptz NOT NULL,
    headers         text        NOT NULL,
    body            bytea       NOT NULL,
    trace_parent    text        NOT NULL,
    stream          text        NOT NULL,
    stream_sequence bigint      NOT NULL,
    stream_index    integer     NOT NULL,
    key_id          text        NOT NULL,
    notification_id text        NOT NULL,
    event_type      text        NOT NULL,
    out_trade_no    text        NOT NULL,
    transaction_id  text        NOT NULL,

    PRIMARY KEY (mchid, delivery_id)
) PARTITION BY RANGE (delivery_id);

CREATE TABLE deliveries_default PARTITION OF deliveries DEFAULT;
CREATE INDEX deliveries_of_an_order ON deliveries (mchid, out_trade_no) WHERE out_trade_no <> '';

-- Rows leave only with their whole day.
CREATE TRIGGER deliveries_are_never_changed BEFORE UPDATE ON deliveries
    FOR EACH ROW EXECUTE FUNCTION refuse_change();

-- One row per delivery that could not be settled.
CREATE TABLE dead_letters (
    mchid           text        NOT NULL,
    delivery_id     uuid        NOT NULL,
    kind            text        NOT NULL,
    received_at     timestamptz NOT NULL,
    headers         text        NOT NULL,
    body            bytea       NOT NULL,
    trace_parent    text        NOT NULL,
    stream          text        NOT NULL,
    stream_sequence bigint      NOT NULL,
    stream_index    integer     NOT NULL,
    key_id          text        NOT NULL,
    notification_id text        NOT NULL,
    event_type      text        NOT NULL,
    out_trade_no    text,
    transaction_id  text        NOT NULL,
    reason          text        NOT NULL,
    detail          text        NOT NULL,
    state           text        NOT NULL,
    attempts        integer     NOT NULL DEFAULT 1,
    first_failed_at timestamptz NOT NULL DEFAULT now(),
    last_failed_at  timestamptz NOT NULL DEFAULT now(),
    next_retry_at   timestamptz,
    resolved_at     timestamptz,

    PRIMARY KEY (mchid, delivery_id),
    CONSTRAINT dead_letters_reason_is_known    CHECK (reason IN ('bad_signature', 'decrypt_failed', 'malformed', 'unknown_merchant', 'unknown_order', 'mismatch', 'internal')),
    CONSTRAINT dead_letters_state_is_known     CHECK (state IN ('waiting', 'open', 'replaying', 'resolved', 'discarded')),
    CONSTRAINT dead_letters_count_attempts     CHECK (attempts > 0),
    CONSTRAINT dead_letters_waiting_has_a_time CHECK ((state = 'waiting') = (next_retry_at IS NOT NULL)),
    CONSTRAINT dead_letters_resolved_has_a_time CHECK ((state = 'resolved') = (resolved_at IS NOT NULL))
) WITH (fillfactor = 80);

CREATE INDEX dead_letters_due ON dead_letters (next_retry_at) WHERE state = 'waiting';
CREATE INDEX dead_letters_waiting_for_an_order ON dead_letters (mchid, out_trade_no) WHERE reason = 'unknown_order' AND state IN ('waiting', 'open');
CREATE INDEX dead_letters_open ON dead_letters (first_failed_at) WHERE state IN ('open', 'replaying');

-- How often a suspicious envelope was touched; counted before each touch.
CREATE TABLE delivery_attempts (
    mchid       text        NOT NULL,
    delivery_id uuid        NOT NULL,
    attempts    integer     NOT NULL,
    last_at     timestamptz NOT NULL,

    PRIMARY KEY (mchid, delivery_id)
);
