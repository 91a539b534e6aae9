-- Records a command's end. What is final stays as it was first written.
INSERT INTO commands AS c (mchid, command_id, kind, out_trade_no, out_refund_no, digest, outcome, status, body, received_at, finished_at)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)
ON CONFLICT (mchid, command_id) DO UPDATE
SET outcome = excluded.outcome, status = excluded.status, body = excluded.body, finished_at = excluded.finished_at
WHERE c.outcome = 'unavailable'
