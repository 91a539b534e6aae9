-- Why: what asks WeChat Pay about unresolved orders and refunds needs to know which
--      call is due next, under which budget; refunds join the order's history; each
--      payment remembers whether WeChat Pay ever told of it by itself.
-- Lock: ACCESS EXCLUSIVE on orders, payments, refunds, refund_attempts, anomalies, history,
--       commands and api_budgets for the moment each column or rule takes (no rewrite:
--       defaults are constants; rules look at what is written from then on); the new index
--       on orders blocks writes while it is built over the unresolved orders only.
-- Back: restore a backup; columns that hold decisions cannot be taken out without loss.

-- +goose Up

-- 1. Orders: the call that is due at next_check_at.
ALTER TABLE orders
    ADD COLUMN check_api          text NOT NULL DEFAULT 'order_query',
    ADD COLUMN close_count        integer NOT NULL DEFAULT 0,  -- closes that WeChat Pay accepted
    ADD COLUMN close_requested_at timestamptz,                 -- the shop wants it closed before it expires
    ADD COLUMN checked_at         timestamptz,                 -- when WeChat Pay last answered a query
    ADD CONSTRAINT orders_check_api_is_known CHECK (check_api IN ('order_query', 'order_close')),
    ADD CONSTRAINT orders_close_count_not_negative CHECK (close_count >= 0);

CREATE INDEX orders_due_by_api ON orders (mchid, check_api, next_check_at) WHERE next_check_at IS NOT NULL;
DROP INDEX orders_due;

-- 2. Payments: when WeChat Pay told of it by itself. NULL: known by asking only.
ALTER TABLE payments ADD COLUMN notified_at timestamptz;
UPDATE payments SET notified_at = observed_at; -- until now a notification was the only way
CREATE INDEX payments_by_time ON payments (mchid, observed_at DESC);

-- Whether a merchant's notifications arrive: tight asks often, relaxed seldom.
CREATE TABLE merchant_gears (
    mchid      text        NOT NULL,
    gear       text        NOT NULL,
    changed_at timestamptz NOT NULL DEFAULT now(),
    pull_until timestamptz,                      -- tight, and orders planned before it may still have to be pulled forward
    hold_until timestamptz,                      -- tight because payments were missed, and so at least until then

    PRIMARY KEY (mchid),
    CONSTRAINT merchant_gears_gear_is_known CHECK (gear IN ('tight', 'relaxed'))
);

-- When a sweep of each kind last began, whoever ran it.
CREATE TABLE sweeps (
    kind     text        NOT NULL,
    begun_at timestamptz NOT NULL,

    PRIMARY KEY (kind)
) WITH (fillfactor = 50, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 1000);

-- An answer of error costs more than one token, so a bucket may be overdrawn by a bucket.
ALTER TABLE api_budgets
    DROP CONSTRAINT api_budgets_tokens_within_burst,
    ADD CONSTRAINT api_budgets_tokens_within_burst CHECK (milli_tokens BETWEEN -milli_burst AND milli_burst);

-- What a bucket holds at an instant: never more than it can, at half the rate while it
-- is halved, and no more for a clock that was set back. Every statement that takes
-- tokens counts with this.
CREATE FUNCTION budget_tokens(milli_tokens bigint, milli_rate bigint, milli_burst bigint,
                              refilled_at timestamptz, halved_until timestamptz, at timestamptz) RETURNS bigint
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN least(milli_burst, milli_tokens + floor(milli_rate * (
    greatest(extract(epoch FROM at - refilled_at), 0)
    - greatest(extract(epoch FROM least(at, coalesce(halved_until, refilled_at)) - refilled_at), 0) / 2)))::bigint;

-- 3. Refunds. The bytes of the request are made before the first attempt and never change.
ALTER TABLE refunds
    DROP CONSTRAINT refunds_ours_keeps_its_bytes,
    ADD COLUMN check_api       text    NOT NULL DEFAULT 'refund',
    ADD COLUMN check_count     integer NOT NULL DEFAULT 0,    -- questions asked in the present state; polling slows down with it
    ADD COLUMN abnormal_rounds integer NOT NULL DEFAULT 0,    -- how often it became abnormal
    ADD COLUMN abnormal_request bytea,                        -- an operator's wish, its secrets encrypted to WeChat Pay
    ADD COLUMN abnormal_key_id  text   NOT NULL DEFAULT '',
    ADD CONSTRAINT refunds_check_api_is_known CHECK (check_api IN ('refund', 'refund_query', 'refund_abnormal')),
    ADD CONSTRAINT refunds_check_count_not_negative CHECK (check_count >= 0),
    ADD CONSTRAINT refunds_begin_in_order CHECK (abnormal_rounds >= 0);

ALTER TABLE refunds ALTER COLUMN request DROP NOT NULL, ALTER COLUMN request DROP DEFAULT;
UPDATE refunds SET request = NULL WHERE length(request) = 0; -- those that we did not send
ALTER TABLE refunds ADD CONSTRAINT refunds_bytes_are_not_empty CHECK (request IS NULL OR length(request) > 0);

CREATE INDEX refunds_due_by_api ON refunds (mchid, check_api, next_check_at) WHERE next_check_at IS NOT NULL;
DROP INDEX refunds_due;
CREATE INDEX refunds_of_an_order ON refunds (mchid, out_trade_no);

-- WeChat Pay may own up to a refund whose request we had given up: failed goes on to
-- processing, so that money which left is always booked.
-- +goose StatementBegin
CREATE OR REPLACE FUNCTION refund_may_move(from_state text, to_state text) RETURNS boolean
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN (from_state, to_state) IN (
    ('requested', 'processing'), ('requested', 'failed'),
    ('processing', 'succeeded'), ('processing', 'closed'), ('processing', 'abnormal'),
    ('abnormal', 'processing'),
    ('failed', 'processing'));
-- +goose StatementEnd

-- +goose StatementBegin
CREATE FUNCTION refunds_guard_insert() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'refund %/% of origin % cannot begin as %', NEW.mchid, NEW.out_refund_no, NEW.origin, NEW.state
        USING ERRCODE = 'check_violation', CONSTRAINT = 'refunds_begin_as_requested';
END $$;
-- +goose StatementEnd

-- Ours begin as a request; one that we learn of from WeChat Pay is under way there.
CREATE TRIGGER refunds_begin_as_requested BEFORE INSERT ON refunds
    FOR EACH ROW WHEN (NEW.state <> CASE WHEN NEW.origin = 'platform' THEN 'processing' ELSE 'requested' END)
    EXECUTE FUNCTION refunds_guard_insert();

-- +goose StatementBegin
CREATE FUNCTION refunds_guard_terms() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'the terms of refund %/% were fixed when it was requested', OLD.mchid, OLD.out_refund_no
        USING ERRCODE = 'check_violation', CONSTRAINT = 'refunds_terms_are_fixed';
END $$;
-- +goose StatementEnd

-- Another amount, payment or request under the same number would be another refund.
CREATE TRIGGER refunds_terms_are_fixed BEFORE UPDATE OF mchid, out_refund_no, out_trade_no, transaction_id, amount_fen, currency,
        origin, reason, funds, digest, request, refund_id, sequence ON refunds
    FOR EACH ROW WHEN (
        (OLD.mchid, OLD.out_refund_no, OLD.out_trade_no, OLD.transaction_id, OLD.amount_fen, OLD.currency, OLD.origin,
         OLD.reason, OLD.funds, OLD.digest)
            IS DISTINCT FROM
        (NEW.mchid, NEW.out_refund_no, NEW.out_trade_no, NEW.transaction_id, NEW.amount_fen, NEW.currency, NEW.origin,
         NEW.reason, NEW.funds, NEW.digest)
        OR (OLD.request IS NOT NULL AND OLD.request IS DISTINCT FROM NEW.request)
        OR (OLD.refund_id <> '' AND OLD.refund_id IS DISTINCT FROM NEW.refund_id)
        OR NEW.sequence < OLD.sequence)
    EXECUTE FUNCTION refunds_guard_terms();

-- +goose StatementBegin
CREATE FUNCTION refunds_guard_delete() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'refund %/% is part of the books and stays', OLD.mchid, OLD.out_refund_no
        USING ERRCODE = 'check_violation', CONSTRAINT = 'refunds_are_kept';
END $$;
-- +goose StatementEnd
CREATE TRIGGER refunds_are_kept BEFORE DELETE ON refunds FOR EACH ROW EXECUTE FUNCTION refunds_guard_delete();

-- How an attempt that was turned away is to be taken: only "rejected" is final.
ALTER TABLE refund_attempts
    DROP CONSTRAINT refund_attempts_outcome_is_known,
    ADD CONSTRAINT refund_attempts_outcome_is_known CHECK (outcome IN ('unknown', 'accepted', 'rejected', 'not_enough', 'blocked'));

-- Whether a refund may be sent again or given up rests on when its attempts began and
-- how they ended: that never changes.
CREATE TRIGGER refund_attempts_begin_once BEFORE UPDATE OF mchid, out_refund_no, attempt, started_at ON refund_attempts
    FOR EACH ROW WHEN (
        (OLD.mchid, OLD.out_refund_no, OLD.attempt, OLD.started_at) IS DISTINCT FROM (NEW.mchid, NEW.out_refund_no, NEW.attempt, NEW.started_at))
    EXECUTE FUNCTION refuse_change();
CREATE TRIGGER refund_attempts_end_once BEFORE UPDATE OF finished_at, outcome, status, code, request_id ON refund_attempts
    FOR EACH ROW WHEN (OLD.finished_at IS NOT NULL AND
        (OLD.finished_at, OLD.outcome, OLD.status, OLD.code, OLD.request_id)
            IS DISTINCT FROM
        (NEW.finished_at, NEW.outcome, NEW.status, NEW.code, NEW.request_id))
    EXECUTE FUNCTION refuse_change();
CREATE TRIGGER refund_attempts_are_kept BEFORE DELETE ON refund_attempts
    FOR EACH ROW EXECUTE FUNCTION refuse_change();

-- Refund numbers that somebody told us of without proof: to be asked about.
CREATE TABLE refund_hints (
    mchid         text        NOT NULL,
    out_refund_no text        NOT NULL,
    out_trade_no  text        NOT NULL,
    protocol      text        NOT NULL,
    next_check_at timestamptz NOT NULL,
    check_count   integer     NOT NULL DEFAULT 0,
    created_at    timestamptz NOT NULL DEFAULT now(),

    PRIMARY KEY (mchid, out_refund_no)
);
CREATE INDEX refund_hints_due ON refund_hints (mchid, next_check_at);

-- 4. Anomalies: one payment may be refunded beyond its amount more than once.
ALTER TABLE anomalies ADD COLUMN out_refund_no text NOT NULL DEFAULT '';
ALTER TABLE anomalies DROP CONSTRAINT anomalies_pkey, ADD PRIMARY KEY (mchid, transaction_id, kind, out_refund_no);

-- 5. History tells of refunds, too.
ALTER TABLE history
    ADD COLUMN out_refund_no text NOT NULL DEFAULT '',
    ADD COLUMN refund_from   text NOT NULL DEFAULT '',
    ADD COLUMN refund_to     text NOT NULL DEFAULT '',
    DROP CONSTRAINT history_source_is_known,
    ADD CONSTRAINT history_source_is_known CHECK (source IN ('command', 'notification', 'query', 'call', 'policy', 'operator')),
    ADD CONSTRAINT history_refund_move_is_legal CHECK (
        refund_from = refund_to OR refund_from = '' AND refund_to IN ('requested', 'processing') OR refund_may_move(refund_from, refund_to));

-- 6. Commands are about refunds as well.
ALTER TABLE commands ADD COLUMN out_refund_no text NOT NULL DEFAULT '';

-- 7. The books are guarded against statements written by hand. Each rule names its
-- columns, so that a claim, which writes a thousand rows at once, pays for none.
CREATE OR REPLACE TRIGGER orders_move_along_the_table BEFORE UPDATE OF state ON orders
    FOR EACH ROW WHEN (OLD.state IS DISTINCT FROM NEW.state)
    EXECUTE FUNCTION orders_guard_move();

-- Not created_at and expires_at: they say when to ask, not what was sold.
CREATE OR REPLACE TRIGGER orders_terms_are_fixed BEFORE UPDATE OF mchid, out_trade_no, appid, client, protocol, description,
        amount_fen, currency, openid, attach, digest, prepay_request ON orders
    FOR EACH ROW WHEN (
        (OLD.mchid, OLD.out_trade_no, OLD.appid, OLD.client, OLD.protocol, OLD.description, OLD.amount_fen, OLD.currency,
         OLD.openid, OLD.attach, OLD.digest, OLD.prepay_request)
            IS DISTINCT FROM
        (NEW.mchid, NEW.out_trade_no, NEW.appid, NEW.client, NEW.protocol, NEW.description, NEW.amount_fen, NEW.currency,
         NEW.openid, NEW.attach, NEW.digest, NEW.prepay_request))
    EXECUTE FUNCTION orders_guard_terms();

-- Apart from the terms, because settling writes these columns: they are cheap to compare.
CREATE TRIGGER orders_are_paid_once BEFORE UPDATE OF transaction_id, paid_at, sequence ON orders
    FOR EACH ROW WHEN (
        (OLD.transaction_id IS NOT NULL AND (OLD.transaction_id, OLD.paid_at) IS DISTINCT FROM (NEW.transaction_id, NEW.paid_at))
        OR NEW.sequence < OLD.sequence)
    EXECUTE FUNCTION orders_guard_terms();

CREATE OR REPLACE TRIGGER refunds_move_along_the_table BEFORE UPDATE OF state ON refunds
    FOR EACH ROW WHEN (OLD.state IS DISTINCT FROM NEW.state)
    EXECUTE FUNCTION refunds_guard_move();

-- +goose StatementBegin
CREATE FUNCTION payments_guard_terms() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'payment %/% is what WeChat Pay said it is', OLD.mchid, OLD.transaction_id
        USING ERRCODE = 'check_violation', CONSTRAINT = 'payments_terms_are_fixed';
END $$;
-- +goose StatementEnd

-- Only the sums of its refunds and when it was told of change.
CREATE TRIGGER payments_terms_are_fixed BEFORE UPDATE OF mchid, transaction_id, out_trade_no, amount_fen, payer_total_fen,
        currency, openid, trade_type, bank_type, paid_at ON payments
    FOR EACH ROW WHEN (
        (OLD.mchid, OLD.transaction_id, OLD.out_trade_no, OLD.amount_fen, OLD.payer_total_fen, OLD.currency, OLD.openid,
         OLD.trade_type, OLD.bank_type, OLD.paid_at)
            IS DISTINCT FROM
        (NEW.mchid, NEW.transaction_id, NEW.out_trade_no, NEW.amount_fen, NEW.payer_total_fen, NEW.currency, NEW.openid,
         NEW.trade_type, NEW.bank_type, NEW.paid_at))
    EXECUTE FUNCTION payments_guard_terms();

-- What is left of a payment is in its sums, which settling has written by now; here
-- only what holds whatever they say. What WeChat Pay gave back is booked at any size.
-- +goose StatementBegin
CREATE FUNCTION refunds_guard_fit() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF EXISTS (SELECT FROM payments AS p
               WHERE p.mchid = NEW.mchid AND p.transaction_id = NEW.transaction_id
                 AND (p.out_trade_no <> NEW.out_trade_no OR (NEW.origin <> 'platform' AND NEW.amount_fen > p.amount_fen))) THEN
        RAISE EXCEPTION 'refund %/% of % fen does not fit payment %', NEW.mchid, NEW.out_refund_no, NEW.amount_fen, NEW.transaction_id
            USING ERRCODE = 'check_violation', CONSTRAINT = 'refunds_fit_their_payment';
    END IF;
    RETURN NEW;
END $$;
-- +goose StatementEnd
CREATE TRIGGER refunds_fit_their_payment BEFORE INSERT ON refunds FOR EACH ROW EXECUTE FUNCTION refunds_guard_fit();

-- +goose StatementBegin
CREATE FUNCTION refuse_loss() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'rows of % are part of the books and stay: % refused', TG_TABLE_NAME, TG_OP
        USING ERRCODE = 'check_violation', CONSTRAINT = TG_NAME;
END $$;
-- +goose StatementEnd

CREATE TRIGGER orders_are_kept BEFORE DELETE ON orders FOR EACH ROW EXECUTE FUNCTION refuse_loss();
CREATE TRIGGER payments_are_kept BEFORE DELETE ON payments FOR EACH ROW EXECUTE FUNCTION refuse_loss();
CREATE TRIGGER orders_are_never_emptied BEFORE TRUNCATE ON orders FOR EACH STATEMENT EXECUTE FUNCTION refuse_loss();
CREATE TRIGGER payments_are_never_emptied BEFORE TRUNCATE ON payments FOR EACH STATEMENT EXECUTE FUNCTION refuse_loss();
CREATE TRIGGER refunds_are_never_emptied BEFORE TRUNCATE ON refunds FOR EACH STATEMENT EXECUTE FUNCTION refuse_loss();
CREATE TRIGGER refund_attempts_are_never_emptied BEFORE TRUNCATE ON refund_attempts FOR EACH STATEMENT EXECUTE FUNCTION refuse_loss();
