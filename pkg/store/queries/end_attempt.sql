-- Completes an attempt, once.
UPDATE refund_attempts
SET finished_at = coalesce($4::timestamptz, clock_timestamp()), outcome = $5, status = nullif($6::integer, 0), code = $7, request_id = $8
WHERE mchid = $1 AND out_refund_no = $2 AND attempt = $3 AND finished_at IS NULL
