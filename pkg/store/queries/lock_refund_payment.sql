-- Locks the payment that a refund gives back: of its refunds one begins an attempt at a time.
SELECT p.transaction_id
FROM refunds AS r
JOIN payments AS p ON p.mchid = r.mchid AND p.transaction_id = r.transaction_id
WHERE r.mchid = $1 AND r.out_refund_no = $2
FOR NO KEY UPDATE OF p
