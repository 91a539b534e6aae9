-- One order's story, line by line.
SELECT mchid, out_trade_no, sequence, what, source, from_state, to_state, transaction_id, out_refund_no, refund_from, refund_to,
       delivery_id, key_id, detail, at
FROM history
WHERE mchid = $1 AND out_trade_no = $2
ORDER BY sequence
