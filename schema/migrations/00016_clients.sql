-- Why: orders of apps and of H5 pages, whose credential is an h5_url.
-- Lock: ACCESS EXCLUSIVE on orders for moments: a column with a constant default, and a
--       check that is wider than the one it takes the place of, so no row is read for it.
-- Back: nothing to do while no such order is placed: the column stays empty. With such
--       orders, keep this version.

-- +goose Up

ALTER TABLE orders
    ADD COLUMN h5_url text NOT NULL DEFAULT '',
    DROP CONSTRAINT orders_client_is_known,
    ADD CONSTRAINT orders_client_is_known CHECK (client IN ('jsapi', 'mini_program', 'native', 'app', 'h5')) NOT VALID;
