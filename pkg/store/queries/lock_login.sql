-- Lets logins of the same buyer wait for each other, whether they share the openid or the
-- unionid: the one behind finds the account that the one in front has made. Locks are taken
-- in one order everywhere, and end with the transaction. Two buyers of one hash wait for
-- each other, too, which does no harm.
WITH keys AS MATERIALIZED (
    SELECT DISTINCT hashtext(k.key) AS hash
    FROM unnest($1::text[]) AS k (key)
    ORDER BY hash
)
SELECT pg_advisory_xact_lock(15, k.hash)
FROM keys AS k
