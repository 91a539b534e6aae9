-- Why: operators list refunds, the newest first, whatever the books have grown to.
-- Lock: SHARE on history and refunds while each index is built: reading goes on, settling
--       waits, messages wait in NATS. On big books build them beforehand by hand under the
--       same names with CREATE INDEX CONCURRENTLY; this migration then passes over what is
--       there.
-- Back: DROP INDEX history_refund_beginnings, refunds_ended_unpaid.

-- +goose Up

-- Not an index on refunds: each claim and each plan of a refund would write to it. The line
-- of history that begins a refund is written once, and no other line has a place in here.
CREATE INDEX IF NOT EXISTS history_refund_beginnings ON history (mchid, at, out_refund_no) WHERE refund_from = '' AND refund_to <> '';

-- Closed and failed refunds are few among the succeeded, and hardly move any more. (What is
-- unresolved has a next check, and an index of what is due.)
CREATE INDEX IF NOT EXISTS refunds_ended_unpaid ON refunds (mchid, state, created_at, out_refund_no) WHERE state IN ('closed', 'failed');
