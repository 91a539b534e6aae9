-- Why: orders, the payments made for them, money that does not fit (anomalies)
--      and each order's story (history). These four are the books.
-- Lock: none that anybody waits for; all tables are new.
-- Back: nothing stands before this migration. Restore a backup, or drop the database.

-- +goose Up

-- The table of pay.OrderTransitions(); a test compares the two, pair by pair.
-- +goose StatementBegin
CREATE FUNCTION order_may_move(from_state text, to_state text) RETURNS boolean
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN (from_state, to_state) IN (
    ('created', 'awaiting_payment'), ('created', 'failed'), ('created', 'closed'), ('created', 'paid'),
    ('awaiting_payment', 'closed'), ('awaiting_payment', 'paid'),
    ('closed', 'paid'),
    ('failed', 'paid'));
-- +goose StatementEnd

CREATE TABLE orders (
    mchid                 text        NOT NULL,
    out_trade_no          text        NOT NULL,
    appid                 text        NOT NULL,
    client                text        NOT NULL,
    protocol              text        NOT NULL,
    description           text        NOT NULL,
    amount_fen            bigint      NOT NULL,
    currency              text        NOT NULL,
    openid                text        NOT NULL,
    attach                text        NOT NULL,
    digest                text        NOT NULL,
    state                 text        NOT NULL,
    sequence              bigint      NOT NULL,
    created_at            timestamptz NOT NULL,
    updated_at            timestamptz NOT NULL,
    expires_at            timestamptz NOT NULL,
    prepay_request        bytea       NOT NULL,
    prepay_id             text        NOT NULL DEFAULT '',
    code_url              text        NOT NULL DEFAULT '',
    credential_expires_at timestamptz,
    transaction_id        text,
    paid_at               timestamptz,
    late                  boolean     NOT NULL DEFAULT false,
    closed_at             timestamptz,
    failure_code          text        NOT NULL DEFAULT '',
    failure_reason        text        NOT NULL DEFAULT '',
    next_check_at         timestamptz,

    PRIMARY KEY (mchid, out_trade_no),
    CONSTRAINT orders_mchid_is_set            CHECK (mchid <> ''),
    CONSTRAINT orders_out_trade_no_is_set     CHECK (out_trade_no <> ''),
    CONSTRAINT orders_amount_is_positive      CHECK (amount_fen > 0),
    CONSTRAINT orders_currency_is_set         CHECK (currency <> ''),
    CONSTRAINT orders_client_is_known         CHECK (client IN ('jsapi', 'mini_program', 'native')),
    CONSTRAINT orders_protocol_is_known       CHECK (protocol IN ('v3', 'v2')),
    CONSTRAINT orders_state_is_known          CHECK (state IN ('created', 'awaiting_payment', 'paid', 'closed', 'failed')),
    CONSTRAINT orders_sequence_is_positive    CHECK (sequence > 0),
    CONSTRAINT orders_unresolved_has_a_check  CHECK (state NOT IN ('created', 'awaiting_payment') OR next_check_at IS NOT NULL),
    CONSTRAINT orders_paid_names_its_payment  CHECK ((state = 'paid') = (transaction_id IS NOT NULL) AND (state = 'paid') = (paid_at IS NOT NULL)),
    CONSTRAINT orders_only_paid_is_late       CHECK (NOT late OR state = 'paid'),
    CONSTRAINT orders_closed_has_its_time     CHECK (state <> 'closed' OR closed_at IS NOT NULL)
) WITH (
    -- Each order is updated a few times soon after its insert: room on the page
    -- for the new versions, and vacuum long before a fifth of a big table is dead.
    fillfactor = 80, autovacuum_vacuum_scale_factor = 0.02, autovacuum_analyze_scale_factor = 0.02
);

-- What is due, per merchant: claiming is per merchant, so that none starves another.
CREATE INDEX orders_due ON orders (mchid, next_check_at) WHERE next_check_at IS NOT NULL;

-- +goose StatementBegin
CREATE FUNCTION orders_guard_insert() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'order %/% cannot begin as % with sequence %', NEW.mchid, NEW.out_trade_no, NEW.state, NEW.sequence
        USING ERRCODE = 'check_violation', CONSTRAINT = 'orders_begin_as_created';
END $$;
-- +goose StatementEnd

CREATE TRIGGER orders_begin_as_created BEFORE INSERT ON orders
    FOR EACH ROW WHEN (NEW.state <> 'created' OR NEW.sequence <> 1)
    EXECUTE FUNCTION orders_guard_insert();

-- +goose StatementBegin
CREATE FUNCTION orders_guard_move() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NOT order_may_move(OLD.state, NEW.state) THEN
        RAISE EXCEPTION 'order %/% cannot move from % to %', OLD.mchid, OLD.out_trade_no, OLD.state, NEW.state
            USING ERRCODE = 'check_violation', CONSTRAINT = 'orders_move_along_the_table';
    END IF;
    IF NEW.sequence <= OLD.sequence THEN
        RAISE EXCEPTION 'order %/% moved without a new sequence', OLD.mchid, OLD.out_trade_no
            USING ERRCODE = 'check_violation', CONSTRAINT = 'orders_sequence_grows';
    END IF;
    RETURN NEW;
END $$;
-- +goose StatementEnd

CREATE TRIGGER orders_move_along_the_table BEFORE UPDATE ON orders
    FOR EACH ROW WHEN (OLD.state IS DISTINCT FROM NEW.state)
    EXECUTE FUNCTION orders_guard_move();

-- +goose StatementBegin
CREATE FUNCTION orders_guard_terms() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'the terms of order %/% were fixed when it was placed', OLD.mchid, OLD.out_trade_no
        USING ERRCODE = 'check_violation', CONSTRAINT = 'orders_terms_are_fixed';
END $$;
-- +goose StatementEnd

-- A paid order is paid by one transaction for ever; its price never changes.
CREATE TRIGGER orders_terms_are_fixed BEFORE UPDATE ON orders
    FOR EACH ROW WHEN (
        (OLD.mchid, OLD.out_trade_no, OLD.appid, OLD.amount_fen, OLD.currency, OLD.digest, OLD.prepay_request)
            IS DISTINCT FROM
        (NEW.mchid, NEW.out_trade_no, NEW.appid, NEW.amount_fen, NEW.currency, NEW.digest, NEW.prepay_request)
        OR (OLD.transaction_id IS NOT NULL AND OLD.transaction_id IS DISTINCT FROM NEW.transaction_id)
        OR NEW.sequence < OLD.sequence)
    EXECUTE FUNCTION orders_guard_terms();

-- Every transaction of WeChat Pay for a number of ours, whether or not it paid the order.
CREATE TABLE payments (
    mchid           text        NOT NULL,
    transaction_id  text        NOT NULL,
    out_trade_no    text        NOT NULL,
    amount_fen      bigint      NOT NULL,
    payer_total_fen bigint      NOT NULL,
    currency        text        NOT NULL,
    openid          text        NOT NULL,
    trade_type      text        NOT NULL,
    bank_type       text        NOT NULL,
    paid_at         timestamptz NOT NULL,
    observed_at     timestamptz NOT NULL,
    refunded_fen    bigint      NOT NULL DEFAULT 0,
    reserved_fen    bigint      NOT NULL DEFAULT 0,
    overrun_fen     bigint      NOT NULL DEFAULT 0,

    PRIMARY KEY (mchid, transaction_id),
    CONSTRAINT payments_order_exists            FOREIGN KEY (mchid, out_trade_no) REFERENCES orders (mchid, out_trade_no),
    CONSTRAINT payments_transaction_id_is_set   CHECK (transaction_id <> ''),
    CONSTRAINT payments_amount_is_positive      CHECK (amount_fen > 0),
    CONSTRAINT payments_payer_total_not_negative CHECK (payer_total_fen >= 0),
    CONSTRAINT payments_currency_is_set         CHECK (currency <> ''),
    CONSTRAINT payments_refunded_not_negative   CHECK (refunded_fen >= 0),
    CONSTRAINT payments_reserved_not_negative   CHECK (reserved_fen >= 0),
    CONSTRAINT payments_overrun_not_negative    CHECK (overrun_fen >= 0),
    CONSTRAINT payments_refunds_within_amount   CHECK (refunded_fen + reserved_fen <= amount_fen + overrun_fen)
) WITH (fillfactor = 90);

CREATE INDEX payments_of_an_order ON payments (mchid, out_trade_no);

-- An order points at the payment that paid it.
ALTER TABLE orders ADD CONSTRAINT orders_payment_exists
    FOREIGN KEY (mchid, transaction_id) REFERENCES payments (mchid, transaction_id);

-- Money that does not fit its order, and what was decided about it.
CREATE TABLE anomalies (
    mchid          text        NOT NULL,
    transaction_id text        NOT NULL,
    kind           text        NOT NULL,
    out_trade_no   text        NOT NULL,
    policy         text        NOT NULL,
    state          text        NOT NULL,
    expected_fen   bigint      NOT NULL,
    actual_fen     bigint      NOT NULL,
    observed_at    timestamptz NOT NULL,
    decided_at     timestamptz,

    PRIMARY KEY (mchid, transaction_id, kind),
    CONSTRAINT anomalies_payment_exists       FOREIGN KEY (mchid, transaction_id) REFERENCES payments (mchid, transaction_id),
    CONSTRAINT anomalies_kind_is_known        CHECK (kind IN ('late_payment', 'double_payment', 'amount_mismatch', 'refund_overrun')),
    CONSTRAINT anomalies_policy_is_known      CHECK (policy IN ('accept', 'refund', 'hold')),
    CONSTRAINT anomalies_state_is_known       CHECK (state IN ('open', 'accepted', 'refunded')),
    CONSTRAINT anomalies_expected_not_negative CHECK (expected_fen >= 0),
    CONSTRAINT anomalies_actual_is_positive   CHECK (actual_fen > 0)
);

CREATE INDEX anomalies_of_an_order ON anomalies (mchid, out_trade_no);
CREATE INDEX anomalies_open ON anomalies (mchid, observed_at) WHERE state = 'open';

-- An order's story: appended by the statement that moves the order, never changed.
CREATE TABLE history (
    mchid          text        NOT NULL,
    out_trade_no   text        NOT NULL,
    sequence       bigint      NOT NULL,
    what           text        NOT NULL,
    source         text        NOT NULL,
    from_state     text        NOT NULL,
    to_state       text        NOT NULL,
    transaction_id text        NOT NULL,
    delivery_id    uuid,
    key_id         text        NOT NULL,
    detail         text        NOT NULL,
    at             timestamptz NOT NULL,

    PRIMARY KEY (mchid, out_trade_no, sequence),
    CONSTRAINT history_sequence_is_positive CHECK (sequence > 0),
    CONSTRAINT history_source_is_known      CHECK (source IN ('command', 'notification', 'query', 'operator')),
    CONSTRAINT history_move_is_legal        CHECK (from_state = to_state OR order_may_move(from_state, to_state))
);

-- +goose StatementBegin
CREATE FUNCTION refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'rows of % are appended and never changed: % refused', TG_TABLE_NAME, TG_OP
        USING ERRCODE = 'check_violation', CONSTRAINT = TG_NAME;
END $$;
-- +goose StatementEnd

CREATE TRIGGER history_is_append_only BEFORE UPDATE OR DELETE ON history
    FOR EACH ROW EXECUTE FUNCTION refuse_change();
CREATE TRIGGER history_is_never_emptied BEFORE TRUNCATE ON history
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
