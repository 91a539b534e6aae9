-- Why: business systems that are told of a merchant's events: whose they are, what they
--      want, and how far each had acknowledged when, so that a consumer that is lost is made
--      again without losing an event, and an operator sees who was told of what.
-- Lock: none that anybody waits for; all tables are new.
-- Back: DROP TABLE subscriber_acks, subscribers. Their consumers stay in NATS until they
--       are deleted there; what they acknowledged when is gone.

-- +goose Up

CREATE TABLE subscribers (
    subscriber_id     uuid        NOT NULL,
    name              text        NOT NULL,
    mchid             text        NOT NULL,
    nkey              text        NOT NULL,
    facts             text[]      NOT NULL DEFAULT '{}', -- empty: all
    from_at           timestamptz,                       -- NULL: all events there are
    stream_created_at timestamptz NOT NULL,              -- positions begin anew with a new stream
    starts_after      bigint      NOT NULL,
    created_at        timestamptz NOT NULL DEFAULT now(),
    created_by        text        NOT NULL,
    removed_at        timestamptz,
    removed_by        text        NOT NULL DEFAULT '',
    dropped_at        timestamptz,                       -- its consumer is gone, too
    next_look_at      timestamptz NOT NULL DEFAULT now(),

    PRIMARY KEY (subscriber_id),
    -- As in package pay: a name that is a number could be read as one in a subject.
    CONSTRAINT subscribers_name_is_a_word       CHECK (name ~ '^[a-z][a-z0-9_-]{0,31}$'),
    CONSTRAINT subscribers_mchid_is_digits      CHECK (mchid ~ '^[0-9]{8,32}$'),
    CONSTRAINT subscribers_nkey_is_a_users      CHECK (nkey ~ '^U[A-Z2-7]{55}$'),
    CONSTRAINT subscribers_facts_are_words      CHECK (array_to_string(facts, ',') ~ '^([a-z]+\.[a-z]+(,[a-z]+\.[a-z]+)*)?$'),
    CONSTRAINT subscribers_start_not_negative   CHECK (starts_after >= 0),
    CONSTRAINT subscribers_created_by_is_set    CHECK (created_by <> ''),
    CONSTRAINT subscribers_removed_by_is_set    CHECK ((removed_at IS NULL) = (removed_by = '')),
    CONSTRAINT subscribers_dropped_are_removed  CHECK (dropped_at IS NULL OR removed_at IS NOT NULL)
) WITH (fillfactor = 50, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 1000);

-- A name means one consumer, also while that of a removed subscriber is still there.
CREATE UNIQUE INDEX subscribers_name_is_unique ON subscribers (name) WHERE dropped_at IS NULL;
CREATE UNIQUE INDEX subscribers_nkey_is_unique ON subscribers (nkey) WHERE removed_at IS NULL;
CREATE INDEX subscribers_to_look_at ON subscribers (next_look_at) WHERE dropped_at IS NULL;
CREATE INDEX subscribers_of_a_merchant ON subscribers (mchid) WHERE removed_at IS NULL;

-- Another merchant, key or filter under the same row would be another subscriber; one
-- that was removed does not come back.
CREATE TRIGGER subscribers_are_fixed BEFORE UPDATE OF subscriber_id, name, mchid, nkey, facts, from_at, stream_created_at, starts_after,
        created_at, created_by, removed_at, removed_by, dropped_at ON subscribers
    FOR EACH ROW WHEN (
        (OLD.subscriber_id, OLD.name, OLD.mchid, OLD.nkey, OLD.facts, OLD.from_at, OLD.stream_created_at, OLD.starts_after, OLD.created_at, OLD.created_by)
            IS DISTINCT FROM
        (NEW.subscriber_id, NEW.name, NEW.mchid, NEW.nkey, NEW.facts, NEW.from_at, NEW.stream_created_at, NEW.starts_after, NEW.created_at, NEW.created_by)
        OR (OLD.removed_at IS NOT NULL AND (OLD.removed_at, OLD.removed_by) IS DISTINCT FROM (NEW.removed_at, NEW.removed_by))
        OR (OLD.dropped_at IS NOT NULL AND OLD.dropped_at IS DISTINCT FROM NEW.dropped_at))
    EXECUTE FUNCTION refuse_change();
CREATE TRIGGER subscribers_are_kept BEFORE DELETE ON subscribers
    FOR EACH ROW EXECUTE FUNCTION refuse_change();
CREATE TRIGGER subscribers_are_never_emptied BEFORE TRUNCATE ON subscribers
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();

-- How far a subscriber had acknowledged, a row only when that moved. The instant of the
-- message there tells its position from the same one of a stream that was restored.
CREATE TABLE subscriber_acks (
    subscriber_id     uuid        NOT NULL REFERENCES subscribers,
    stream_created_at timestamptz NOT NULL,
    ack_floor         bigint      NOT NULL,
    stored_at         timestamptz,                       -- NULL: no message was there
    sampled_at        timestamptz NOT NULL DEFAULT clock_timestamp(),

    PRIMARY KEY (subscriber_id, stream_created_at, ack_floor, sampled_at),
    CONSTRAINT subscriber_acks_floor_not_negative CHECK (ack_floor >= 0)
);

CREATE INDEX subscriber_acks_by_time ON subscriber_acks (subscriber_id, sampled_at);
CREATE INDEX subscriber_acks_age ON subscriber_acks (sampled_at);

-- Evidence is dropped when it is old, and never changed.
CREATE TRIGGER subscriber_acks_are_fixed BEFORE UPDATE ON subscriber_acks
    FOR EACH ROW EXECUTE FUNCTION refuse_change();
