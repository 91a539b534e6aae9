-- Lets the next worker have its turn. A lease that others have is left alone.
DELETE FROM renewals
WHERE mchid = $1 AND out_trade_no = $2 AND holder = $3::uuid
