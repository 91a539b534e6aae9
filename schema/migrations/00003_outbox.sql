-- Why: events on their way to the bus (outbox) and those that arrived there (published).
-- Lock: none that anybody waits for; all tables are new.
-- Back: DROP TABLE outbox, published. Events that were not yet published are lost with it.

-- +goose Up

-- The key is the event's id alone: it is derived from merchant, number and fact,
-- so it is unique over all merchants, and the broker's receipt names nothing else.
CREATE TABLE outbox (
    event_id      uuid        NOT NULL,
    mchid         text        NOT NULL,
    out_trade_no  text        NOT NULL,
    fact          text        NOT NULL,
    payload       text        NOT NULL,
    created_at    timestamptz NOT NULL DEFAULT now(),
    claimed_until timestamptz,

    PRIMARY KEY (event_id),
    CONSTRAINT outbox_payload_is_set CHECK (payload <> '')
) WITH (
    -- A queue: every row is deleted soon. Vacuum by count, never by share of a
    -- table that is near empty most of the time.
    fillfactor = 90, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 5000,
    autovacuum_vacuum_insert_scale_factor = 0, autovacuum_vacuum_insert_threshold = 20000,
    autovacuum_analyze_scale_factor = 0, autovacuum_analyze_threshold = 20000
);

CREATE INDEX outbox_age ON outbox (created_at);

-- By month of publication; store makes the partitions ahead. DEFAULT takes what
-- no partition wants, so that nothing is ever refused; rows in it raise an alert.
CREATE TABLE published (
    event_id        uuid        NOT NULL,
    mchid           text        NOT NULL,
    out_trade_no    text        NOT NULL,
    fact            text        NOT NULL,
    payload         text        NOT NULL,
    created_at      timestamptz NOT NULL,
    published_at    timestamptz NOT NULL,
    stream_sequence bigint      NOT NULL,
    duplicate       boolean     NOT NULL,

    PRIMARY KEY (event_id, published_at)
) PARTITION BY RANGE (published_at);

CREATE TABLE published_default PARTITION OF published DEFAULT;
CREATE INDEX published_of_an_order ON published (mchid, out_trade_no);
