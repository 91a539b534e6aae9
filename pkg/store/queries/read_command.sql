-- How one command ended.
SELECT mchid, command_id, kind, out_trade_no, out_refund_no, digest, outcome, status, body, received_at, finished_at
FROM commands
WHERE mchid = $1 AND command_id = $2
