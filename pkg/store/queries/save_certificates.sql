-- Keeps fetched certificates. A serial's certificate never changes: the first
-- copy stays, only the time at which it was last seen moves on.
INSERT INTO platform_certificates AS p (mchid, serial, pem, effective_at, expire_at, fetched_at)
SELECT DISTINCT ON (c.serial) $1, c.serial, c.pem, c.effective_at, c.expire_at, c.fetched_at
FROM unnest($2::text[], $3::bytea[], $4::timestamptz[], $5::timestamptz[], $6::timestamptz[])
    AS c (serial, pem, effective_at, expire_at, fetched_at)
ORDER BY c.serial
ON CONFLICT (mchid, serial) DO UPDATE SET fetched_at = greatest(p.fetched_at, excluded.fetched_at)
