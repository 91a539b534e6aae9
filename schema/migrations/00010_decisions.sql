-- Why: operators decide about money that does not fit. An anomaly says what was decided,
--      by whom and why, and its end is an end: nothing takes a decision back.
-- Lock: ACCESS EXCLUSIVE on anomalies for the moment the columns, rules and two indexes
--       take; the table holds exceptions only.
-- Back: DROP the triggers, indexes and columns. Who decided what is in the audit as well.

-- +goose Up

ALTER TABLE anomalies
    ADD COLUMN decision        text NOT NULL DEFAULT '',  -- the latest; '': nobody decided
    ADD COLUMN decided_by      text NOT NULL DEFAULT '',  -- 'policy', or an operator such as 'token:ada'
    ADD COLUMN decision_reason text NOT NULL DEFAULT '';

-- Until now only the merchant's policy accepted. (Every end had its time; a row written
-- by hand may not.)
UPDATE anomalies SET decided_at = CASE WHEN state <> 'open' THEN observed_at END WHERE (state = 'open') <> (decided_at IS NULL);
UPDATE anomalies SET decision = 'accept', decided_by = 'policy' WHERE state = 'accepted';

ALTER TABLE anomalies
    ADD CONSTRAINT anomalies_decision_is_known     CHECK (decision IN ('', 'accept', 'refund')),
    ADD CONSTRAINT anomalies_decision_has_an_actor CHECK ((decision = '') = (decided_by = '')),
    ADD CONSTRAINT anomalies_decision_is_timed     CHECK ((state = 'open' AND decision = '') = (decided_at IS NULL)),
    ADD CONSTRAINT anomalies_end_as_decided        CHECK (CASE state WHEN 'accepted' THEN decision = 'accept' ELSE decision <> 'accept' END),
    ADD CONSTRAINT anomalies_overrun_stays_away    CHECK (kind <> 'refund_overrun' OR state <> 'refunded' AND decision <> 'refund');

-- The oldest that are open; and by WeChat Pay's number, by its hash as elsewhere: a
-- B-tree turns long ones away.
CREATE INDEX anomalies_by_state ON anomalies (state, observed_at);
CREATE INDEX anomalies_of_a_transaction ON anomalies USING hash (transaction_id);

CREATE TRIGGER anomalies_are_fixed BEFORE UPDATE OF mchid, transaction_id, kind, out_refund_no, out_trade_no, policy, expected_fen,
        actual_fen, observed_at ON anomalies
    FOR EACH ROW WHEN (
        (OLD.mchid, OLD.transaction_id, OLD.kind, OLD.out_refund_no, OLD.out_trade_no, OLD.policy, OLD.expected_fen, OLD.actual_fen, OLD.observed_at)
            IS DISTINCT FROM
        (NEW.mchid, NEW.transaction_id, NEW.kind, NEW.out_refund_no, NEW.out_trade_no, NEW.policy, NEW.expected_fen, NEW.actual_fen, NEW.observed_at))
    EXECUTE FUNCTION refuse_change();

-- While it is open, a decision to give the money back may be followed by another one:
-- its refund may have come to nothing.
CREATE TRIGGER anomalies_end_once BEFORE UPDATE OF state, decision, decided_by, decision_reason, decided_at ON anomalies
    FOR EACH ROW WHEN (OLD.state <> 'open' AND
        (OLD.state, OLD.decision, OLD.decided_by, OLD.decision_reason, OLD.decided_at)
            IS DISTINCT FROM
        (NEW.state, NEW.decision, NEW.decided_by, NEW.decision_reason, NEW.decided_at))
    EXECUTE FUNCTION refuse_change();

-- +goose StatementBegin
CREATE FUNCTION anomalies_guard_end() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NOT EXISTS (SELECT FROM payments AS p
                   WHERE p.mchid = NEW.mchid AND p.transaction_id = NEW.transaction_id AND p.refunded_fen >= p.amount_fen) THEN
        RAISE EXCEPTION 'payment %/% is not given back in full, so its % is not refunded', NEW.mchid, NEW.transaction_id, NEW.kind
            USING ERRCODE = 'check_violation', CONSTRAINT = 'anomalies_refunded_money_is_back';
    END IF;
    RETURN NEW;
END $$;
-- +goose StatementEnd

CREATE TRIGGER anomalies_refunded_money_is_back BEFORE UPDATE OF state ON anomalies
    FOR EACH ROW WHEN (NEW.state = 'refunded' AND OLD.state <> 'refunded')
    EXECUTE FUNCTION anomalies_guard_end();

CREATE TRIGGER anomalies_are_kept BEFORE DELETE ON anomalies FOR EACH ROW EXECUTE FUNCTION refuse_loss();
CREATE TRIGGER anomalies_are_never_emptied BEFORE TRUNCATE ON anomalies FOR EACH STATEMENT EXECUTE FUNCTION refuse_loss();
