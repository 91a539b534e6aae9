-- Why: operators find a buyer by any id that is on their screen, and see what they bought.
-- Lock: SHARE on payments, identities and accounts while each index is built: reading goes
--       on, settling and logins wait, messages wait in NATS. On big books build them
--       beforehand by hand under the same names with CREATE INDEX CONCURRENTLY; this
--       migration then passes over what is there.
-- Back: DROP INDEX payments_of_an_openid, identities_of_an_openid, accounts_merged_into.

-- +goose Up

-- Not an index on orders: each claim and each plan of an order would write to it. A payment
-- is written once, with the openid that paid; refunds change no column in here.
CREATE INDEX IF NOT EXISTS payments_of_an_openid ON payments USING hash (openid) WHERE openid <> '';

-- By the openid alone: who asks does not know the app. A login changes neither.
CREATE INDEX IF NOT EXISTS identities_of_an_openid ON identities USING hash (openid);

CREATE INDEX IF NOT EXISTS accounts_merged_into ON accounts (mchid, merged_into) WHERE merged_into IS NOT NULL;
