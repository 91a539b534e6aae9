-- Vouches for the books as they are, unless they are being recovered.
INSERT INTO vouchers (incarnation)
SELECT books_incarnation()
WHERE NOT EXISTS (SELECT FROM recoveries AS r WHERE r.state = 'running' AND r.needed)
ON CONFLICT (only_one) DO UPDATE SET incarnation = excluded.incarnation, vouched_at = now()
