-- Why: buyers log in. Each has an account per merchant, an identity per app, and orders
--      that say whose they are; tickets bring a login from WeChat's page to the shop's;
--      WeChat's tokens are kept, sealed, where every worker finds them.
-- Lock: ACCESS EXCLUSIVE on orders for the moment in which a column is added and a rule is
--       exchanged for a wider one: no row is looked at or written again. No index on orders
--       is needed: an order is found by its number, and then asked whose it is. The other
--       tables are new.
-- Back: DROP TABLE login_tickets, identities, accounts, wechat_tokens. The column stays: it is
--       empty where nothing was sold to an account.

-- +goose Up

-- One buyer of one merchant. An account that turned out to be another one's is kept as a
-- pointer to it (merged_into): orders and sessions that name it go on meaning that buyer,
-- and no order has to be written again.
CREATE TABLE accounts (
    mchid       text        NOT NULL,
    account_id  uuid        NOT NULL,
    unionid     text        NOT NULL DEFAULT '',
    nickname    text        NOT NULL DEFAULT '',
    avatar_url  text        NOT NULL DEFAULT '',
    phone       text        NOT NULL DEFAULT '',
    merged_into uuid,
    created_at  timestamptz NOT NULL,
    updated_at  timestamptz NOT NULL,

    PRIMARY KEY (mchid, account_id),
    CONSTRAINT accounts_mchid_is_set       CHECK (mchid <> ''),
    CONSTRAINT accounts_merged_into_exists FOREIGN KEY (mchid, merged_into) REFERENCES accounts (mchid, account_id),
    -- Only an account that nothing but its own app knows is merged away, and only into one
    -- that has a unionid: so a pointer never leads to another pointer.
    CONSTRAINT accounts_merge_once         CHECK (merged_into IS NULL OR (unionid = '' AND merged_into <> account_id))
) WITH (fillfactor = 80);

-- The same unionid across apps is the same buyer.
CREATE UNIQUE INDEX accounts_unionid_is_unique ON accounts (mchid, unionid) WHERE unionid <> '';

-- What an app calls a buyer. The grant is what WeChat gave for asking about the buyer:
-- sealed, and readable by workers alone.
CREATE TABLE identities (
    mchid            text        NOT NULL,
    appid            text        NOT NULL,
    openid           text        NOT NULL,
    account_id       uuid        NOT NULL,
    seen_at          timestamptz NOT NULL,
    grant_sealed     bytea,
    grant_scope      text        NOT NULL DEFAULT '',
    grant_expires_at timestamptz,

    PRIMARY KEY (mchid, appid, openid),
    CONSTRAINT identities_account_exists FOREIGN KEY (mchid, account_id) REFERENCES accounts (mchid, account_id),
    CONSTRAINT identities_openid_is_set  CHECK (appid <> '' AND openid <> ''),
    CONSTRAINT identities_grant_is_whole CHECK ((grant_sealed IS NULL) = (grant_expires_at IS NULL))
) WITH (fillfactor = 80);

CREATE INDEX identities_of_an_account ON identities (mchid, account_id);

-- A login that WeChat has confirmed and the shop's page has not taken up yet. The ticket is
-- kept as its SHA-256: made of 128 random bits or more, it needs no salt.
CREATE TABLE login_tickets (
    ticket_sum bytea       NOT NULL,
    mchid      text        NOT NULL,
    account_id uuid        NOT NULL,
    appid      text        NOT NULL,
    openid     text        NOT NULL,
    challenge  text        NOT NULL,
    expires_at timestamptz NOT NULL,

    PRIMARY KEY (ticket_sum),
    CONSTRAINT login_tickets_sum_is_sha256  CHECK (length(ticket_sum) = 32),
    CONSTRAINT login_tickets_account_exists FOREIGN KEY (mchid, account_id) REFERENCES accounts (mchid, account_id)
);

CREATE INDEX login_tickets_by_expiry ON login_tickets (expires_at);

-- WeChat's token of an app, and who fetches the next one. The fence grows with every lease:
-- a process that was paused and lost its lease stores nothing any more.
CREATE TABLE wechat_tokens (
    appid       text        NOT NULL,
    kind        text        NOT NULL,
    sealed      bytea,
    expires_at  timestamptz,
    fence       bigint      NOT NULL DEFAULT 0,
    holder      text        NOT NULL DEFAULT '',
    lease_until timestamptz,

    PRIMARY KEY (appid, kind),
    CONSTRAINT wechat_tokens_value_is_whole   CHECK ((sealed IS NULL) = (expires_at IS NULL)),
    CONSTRAINT wechat_tokens_lease_is_whole   CHECK ((holder = '') = (lease_until IS NULL)),
    CONSTRAINT wechat_tokens_fence_not_negative CHECK (fence >= 0)
) WITH (fillfactor = 50);

-- +goose StatementBegin
CREATE FUNCTION wechat_tokens_guard_fence() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'the fence of token %/% never goes back', OLD.appid, OLD.kind
        USING ERRCODE = 'check_violation', CONSTRAINT = 'wechat_tokens_fence_grows';
END $$;
-- +goose StatementEnd

CREATE TRIGGER wechat_tokens_fence_grows BEFORE UPDATE OF fence ON wechat_tokens
    FOR EACH ROW WHEN (NEW.fence < OLD.fence)
    EXECUTE FUNCTION wechat_tokens_guard_fence();

-- Whose order it is, where the shop said so. There is no reference to accounts: after a
-- restore, orders come back from what shops sent, and accounts do not.
ALTER TABLE orders ADD COLUMN account_id uuid;

CREATE OR REPLACE TRIGGER orders_terms_are_fixed BEFORE UPDATE OF mchid, out_trade_no, appid, client, protocol, description,
        amount_fen, currency, openid, attach, digest, prepay_request, account_id ON orders
    FOR EACH ROW WHEN (
        (OLD.mchid, OLD.out_trade_no, OLD.appid, OLD.client, OLD.protocol, OLD.description, OLD.amount_fen, OLD.currency,
         OLD.openid, OLD.attach, OLD.digest, OLD.prepay_request, OLD.account_id)
            IS DISTINCT FROM
        (NEW.mchid, NEW.out_trade_no, NEW.appid, NEW.client, NEW.protocol, NEW.description, NEW.amount_fen, NEW.currency,
         NEW.openid, NEW.attach, NEW.digest, NEW.prepay_request, NEW.account_id))
    EXECUTE FUNCTION orders_guard_terms();
