-- Why: books that were restored from a backup are older than what shops, subscribers and
--      WeChat Pay were told. Nobody may move them before `fenflow recover` has caught up:
--      a refund that failed since would be sent again, a late payment delivered.
-- Lock: ACCESS EXCLUSIVE on history for the moment in which one rule is exchanged for a
--       wider one; no row is looked at. The tables are new.
-- Back: DROP TABLE recoveries, vouchers CASCADE; DROP FUNCTION books_open, books_incarnation.
--       The rule of history stays: rows of this version need it.

-- +goose Up

-- Somebody compared these books with the events that were published, in this life of
-- the server, and found them whole. No row: nobody ever did, which is a new installation.
CREATE TABLE vouchers (
    only_one    boolean     NOT NULL DEFAULT true,
    incarnation text        NOT NULL,
    vouched_at  timestamptz NOT NULL DEFAULT now(),

    PRIMARY KEY (only_one),
    CONSTRAINT vouchers_only_one CHECK (only_one)
);

-- What a restore cannot bring back: when the server started, which database this is,
-- and which table this is. A base backup and a promoted standby run in a server that
-- was started anew, a dump in tables that were made anew.
CREATE FUNCTION books_incarnation() RETURNS text
    LANGUAGE sql STABLE
RETURN concat_ws('/', extract(epoch FROM pg_postmaster_start_time()),
    (SELECT d.oid FROM pg_database AS d WHERE d.datname = current_database()), 'vouchers'::regclass::oid);

CREATE FUNCTION books_open() RETURNS boolean
    LANGUAGE sql STABLE
RETURN NOT EXISTS (SELECT FROM vouchers) OR EXISTS (SELECT FROM vouchers AS v WHERE v.incarnation = books_incarnation());

-- One row per run of `fenflow recover`. It is part of the books, so a second restore
-- takes it back with them.
CREATE TABLE recoveries (
    recovery_id  uuid        NOT NULL,
    since        timestamptz NOT NULL,
    actor        text        NOT NULL,
    reason       text        NOT NULL,
    state        text        NOT NULL DEFAULT 'running',
    phase        text        NOT NULL DEFAULT 'events',
    needed       boolean     NOT NULL,                 -- the books were not vouched for when it began
    incarnation  text        NOT NULL DEFAULT books_incarnation(), -- that it began in; in another it begins anew
    stretches    jsonb       NOT NULL,                 -- of the streams, and how far each is done
    counts       jsonb       NOT NULL DEFAULT '{}',
    problems     jsonb       NOT NULL DEFAULT '[]',
    tries        integer     NOT NULL DEFAULT 0,       -- steps that began at this very place
    lease        uuid,                                 -- of whoever makes the step that is under way
    leased_until timestamptz,
    started_at   timestamptz NOT NULL DEFAULT now(),
    moved_at     timestamptz NOT NULL DEFAULT now(),
    finished_at  timestamptz,

    PRIMARY KEY (recovery_id),
    CONSTRAINT recoveries_actor_is_set     CHECK (actor <> ''),
    CONSTRAINT recoveries_state_is_known   CHECK (state IN ('running', 'done', 'superseded')),
    CONSTRAINT recoveries_phase_is_known   CHECK (phase IN ('events', 'messages', 'orders', 'done')),
    CONSTRAINT recoveries_done_is_whole    CHECK ((state = 'done') = (phase = 'done') AND (state <> 'done' OR finished_at IS NOT NULL))
);

-- One at a time: another begins where the first is at its end or given up.
CREATE UNIQUE INDEX recoveries_one_runs ON recoveries (state) WHERE state = 'running';

-- What subscribers had been told is a source of its own.
ALTER TABLE history
    DROP CONSTRAINT history_source_is_known,
    ADD CONSTRAINT history_source_is_known CHECK (source IN ('command', 'notification', 'query', 'call', 'policy', 'operator', 'event')) NOT VALID;
