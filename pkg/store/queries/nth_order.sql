-- When the merchant's order of that place was placed, the newest first.
SELECT h.at
FROM history AS h
WHERE h.mchid = $1 AND h.sequence = 1
ORDER BY h.at DESC, h.out_trade_no DESC
OFFSET $2 LIMIT 1
