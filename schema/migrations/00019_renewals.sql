-- Why: a credential that has run out is made anew by one worker at a time. Two at once
--      made two, WeChat Pay keeps the last, and the books could end with the other:
--      a buyer would have scanned a code that is dead, for two hours.
-- Lock: none that anybody waits for; the table is new.
-- Back: DROP TABLE renewals.

-- +goose Up

-- A row stands while a worker asks; one that a dead worker left is taken over when its
-- lease has ended, at the latest when somebody wants that order's credential again.
CREATE TABLE renewals (
    mchid        text        NOT NULL,
    out_trade_no text        NOT NULL,
    holder       uuid        NOT NULL,
    lease_until  timestamptz NOT NULL,

    PRIMARY KEY (mchid, out_trade_no)
);
