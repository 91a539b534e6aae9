-- Why: refunds and the attempts to send them, with the rules that keep one
--      payment from being given back twice.
-- Lock: a short SHARE ROW EXCLUSIVE on payments for the foreign key; nothing is scanned.
-- Back: DROP TABLE refund_attempts, refunds; DROP FUNCTION refunds_guard_move, refund_may_move.

-- +goose Up

-- +goose StatementBegin
CREATE FUNCTION refund_may_move(from_state text, to_state text) RETURNS boolean
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN (from_state, to_state) IN (
    ('requested', 'processing'), ('requested', 'failed'),
    ('processing', 'succeeded'), ('processing', 'closed'), ('processing', 'abnormal'),
    ('abnormal', 'processing'));
-- +goose StatementEnd

CREATE TABLE refunds (
    mchid            text        NOT NULL,
    out_refund_no    text        NOT NULL,
    out_trade_no     text        NOT NULL,
    transaction_id   text        NOT NULL,
    refund_id        text        NOT NULL DEFAULT '',
    amount_fen       bigint      NOT NULL,
    currency         text        NOT NULL,
    reason           text        NOT NULL DEFAULT '',
    funds            text        NOT NULL DEFAULT 'default',
    origin           text        NOT NULL,
    digest           text        NOT NULL DEFAULT '',
    state            text        NOT NULL,
    sequence         bigint      NOT NULL,
    request          bytea       NOT NULL DEFAULT '',
    created_at       timestamptz NOT NULL,
    updated_at       timestamptz NOT NULL,
    succeeded_at     timestamptz,
    received_account text        NOT NULL DEFAULT '',
    failure_code     text        NOT NULL DEFAULT '',
    failure_reason   text        NOT NULL DEFAULT '',
    next_check_at    timestamptz,
    leased_until     timestamptz,

    PRIMARY KEY (mchid, out_refund_no),
    CONSTRAINT refunds_payment_exists         FOREIGN KEY (mchid, transaction_id) REFERENCES payments (mchid, transaction_id),
    CONSTRAINT refunds_out_refund_no_is_set   CHECK (out_refund_no <> ''),
    CONSTRAINT refunds_amount_is_positive     CHECK (amount_fen > 0),
    CONSTRAINT refunds_currency_is_set        CHECK (currency <> ''),
    CONSTRAINT refunds_funds_is_known         CHECK (funds IN ('default', 'available')),
    CONSTRAINT refunds_origin_is_known        CHECK (origin IN ('command', 'policy', 'operator', 'platform')),
    CONSTRAINT refunds_state_is_known         CHECK (state IN ('requested', 'processing', 'succeeded', 'closed', 'abnormal', 'failed')),
    CONSTRAINT refunds_sequence_is_positive   CHECK (sequence > 0),
    CONSTRAINT refunds_unresolved_has_a_check CHECK (state NOT IN ('requested', 'processing', 'abnormal') OR next_check_at IS NOT NULL),
    CONSTRAINT refunds_succeeded_has_its_time CHECK (state <> 'succeeded' OR succeeded_at IS NOT NULL),
    CONSTRAINT refunds_ours_keeps_its_bytes   CHECK (origin = 'platform' OR length(request) > 0)
) WITH (fillfactor = 80);

CREATE INDEX refunds_due ON refunds (mchid, next_check_at) WHERE next_check_at IS NOT NULL;
CREATE INDEX refunds_of_a_payment ON refunds (mchid, transaction_id);

-- +goose StatementBegin
CREATE FUNCTION refunds_guard_move() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NOT refund_may_move(OLD.state, NEW.state) THEN
        RAISE EXCEPTION 'refund %/% cannot move from % to %', OLD.mchid, OLD.out_refund_no, OLD.state, NEW.state
            USING ERRCODE = 'check_violation', CONSTRAINT = 'refunds_move_along_the_table';
    END IF;
    RETURN NEW;
END $$;
-- +goose StatementEnd

CREATE TRIGGER refunds_move_along_the_table BEFORE UPDATE ON refunds
    FOR EACH ROW WHEN (OLD.state IS DISTINCT FROM NEW.state)
    EXECUTE FUNCTION refunds_guard_move();

-- One row per call to WeChat Pay, committed before the call: "unknown" until
-- an answer was read and verified.
CREATE TABLE refund_attempts (
    mchid         text        NOT NULL,
    out_refund_no text        NOT NULL,
    attempt       integer     NOT NULL,
    started_at    timestamptz NOT NULL,
    finished_at   timestamptz,
    outcome       text        NOT NULL DEFAULT 'unknown',
    status        integer,
    code          text        NOT NULL DEFAULT '',
    request_id    text        NOT NULL DEFAULT '',

    PRIMARY KEY (mchid, out_refund_no, attempt),
    CONSTRAINT refund_attempts_refund_exists    FOREIGN KEY (mchid, out_refund_no) REFERENCES refunds (mchid, out_refund_no),
    CONSTRAINT refund_attempts_count_from_one   CHECK (attempt > 0),
    CONSTRAINT refund_attempts_outcome_is_known CHECK (outcome IN ('unknown', 'accepted', 'rejected')),
    CONSTRAINT refund_attempts_end_is_timed     CHECK (outcome = 'unknown' OR finished_at IS NOT NULL)
);
