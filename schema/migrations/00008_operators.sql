-- Why: operators come in by tokens, and find an order by any number that is on their
--      screen; lists and groups are read by index, whatever the books have grown to.
-- Lock: SHARE on history, refunds, deliveries, outbox, dead_letters, orders and audit while
--       each index is built: reading goes on, settling waits, messages wait in NATS. On big
--       books build them beforehand by hand under the same names with CREATE INDEX
--       CONCURRENTLY (on deliveries: one for each partition); this migration then passes
--       over what is there.
-- Back: DROP TABLE operator_tokens; DROP INDEX the indexes. The tokens are gone with it.

-- +goose Up

-- Who may come in. The secret is shown once; its SHA-256 is enough to know it again,
-- and, made of 256 random bits, needs no salt. Revoked tokens stay: the audit names them.
CREATE TABLE operator_tokens (
    token_id     uuid        NOT NULL,
    name         text        NOT NULL,
    role         text        NOT NULL,
    sum          bytea       NOT NULL,
    created_at   timestamptz NOT NULL DEFAULT now(),
    created_by   text        NOT NULL,
    revoked_at   timestamptz,
    last_used_at timestamptz,

    PRIMARY KEY (token_id),
    CONSTRAINT operator_tokens_name_is_a_word     CHECK (name ~ '^[0-9A-Za-z][0-9A-Za-z._-]{0,63}$'),
    CONSTRAINT operator_tokens_role_is_known      CHECK (role IN ('read', 'operate')),
    CONSTRAINT operator_tokens_sum_is_sha256      CHECK (length(sum) = 32),
    CONSTRAINT operator_tokens_created_by_is_set  CHECK (created_by <> ''),
    CONSTRAINT operator_tokens_sum_is_unique      UNIQUE (sum)
) WITH (fillfactor = 50);

-- A name in the audit log means one living token.
CREATE UNIQUE INDEX operator_tokens_name_is_unique ON operator_tokens (name) WHERE revoked_at IS NULL;

-- A token gains no right and does not come back by a statement that no audit tells of.
CREATE TRIGGER operator_tokens_are_fixed BEFORE UPDATE OF token_id, name, role, sum, created_at, created_by, revoked_at ON operator_tokens
    FOR EACH ROW WHEN (
        (OLD.token_id, OLD.name, OLD.role, OLD.sum, OLD.created_at, OLD.created_by)
            IS DISTINCT FROM
        (NEW.token_id, NEW.name, NEW.role, NEW.sum, NEW.created_at, NEW.created_by)
        OR (OLD.revoked_at IS NOT NULL AND OLD.revoked_at IS DISTINCT FROM NEW.revoked_at))
    EXECUTE FUNCTION refuse_change();

-- Orders, the newest first. Not an index on orders: each of an order's updates would
-- write to it. The line of history that begins an order is written once.
CREATE INDEX IF NOT EXISTS history_beginnings ON history (mchid, at, out_trade_no) WHERE sequence = 1;

-- Closed and failed orders are few among the paid, and hardly move any more. (What is
-- unresolved has a next check, and an index of what is due.)
CREATE INDEX IF NOT EXISTS orders_ended_unpaid ON orders (mchid, state, created_at, out_trade_no) WHERE state IN ('closed', 'failed');

-- Numbers that others give: by their hash, because a B-tree turns long ones away, and
-- nothing that arrives is turned away. All other numbers are found by the keys, merchant
-- by merchant.
CREATE INDEX IF NOT EXISTS refunds_by_refund_id ON refunds USING hash (refund_id) WHERE refund_id <> '';
CREATE INDEX IF NOT EXISTS deliveries_by_notification ON deliveries USING hash (notification_id) WHERE notification_id <> '';
CREATE INDEX IF NOT EXISTS dead_letters_of_a_transaction ON dead_letters USING hash (transaction_id) WHERE transaction_id <> '';

-- What an order has told that is not published yet.
CREATE INDEX IF NOT EXISTS outbox_of_an_order ON outbox (mchid, out_trade_no);

-- Letters: by their own id, by what they are about, in the order of their failing, and
-- counted without reading their bytes.
CREATE INDEX IF NOT EXISTS dead_letters_by_id ON dead_letters (delivery_id);
CREATE INDEX IF NOT EXISTS dead_letters_of_an_order ON dead_letters (mchid, out_trade_no) WHERE out_trade_no IS NOT NULL;
CREATE INDEX IF NOT EXISTS dead_letters_by_state ON dead_letters (state, first_failed_at, delivery_id);
CREATE INDEX IF NOT EXISTS dead_letters_by_group ON dead_letters (mchid, reason, state, first_failed_at);

CREATE INDEX IF NOT EXISTS audit_by_time_and_id ON audit (at, audit_id);
CREATE INDEX IF NOT EXISTS audit_of_a_subject ON audit (mchid, subject);
