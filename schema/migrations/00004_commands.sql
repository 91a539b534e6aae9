-- Why: how each command of a shop ended, so that a repeated command gets the same answer.
-- Lock: none that anybody waits for; the table is new.
-- Back: DROP TABLE commands. Shops that ask for an old command get 404.

-- +goose Up
CREATE TABLE commands (
    mchid        text        NOT NULL,
    command_id   uuid        NOT NULL,
    kind         text        NOT NULL,
    out_trade_no text        NOT NULL,
    digest       text        NOT NULL,
    outcome      text        NOT NULL,
    status       integer     NOT NULL,
    body         bytea       NOT NULL,
    received_at  timestamptz NOT NULL,
    finished_at  timestamptz NOT NULL,

    PRIMARY KEY (mchid, command_id),
    CONSTRAINT commands_outcome_is_known  CHECK (outcome IN ('done', 'conflict', 'refused', 'expired', 'unavailable')),
    CONSTRAINT commands_status_is_http    CHECK (status BETWEEN 100 AND 599)
);

CREATE INDEX commands_of_an_order ON commands (mchid, out_trade_no);
