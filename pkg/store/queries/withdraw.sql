-- Takes the voucher back: the books are older than what was told.
INSERT INTO vouchers (incarnation)
VALUES ('')
ON CONFLICT (only_one) DO UPDATE SET incarnation = '', vouched_at = now()
