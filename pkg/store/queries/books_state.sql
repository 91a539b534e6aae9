-- Whether a worker vouches for these books, whether any ever did, and whether a recovery
-- that they need is under way.
SELECT EXISTS (SELECT FROM vouchers AS v WHERE v.incarnation = books_incarnation()) AS vouched,
       NOT EXISTS (SELECT FROM vouchers) AS fresh,
       EXISTS (SELECT FROM recoveries AS r WHERE r.state = 'running' AND r.needed) AS recovering
