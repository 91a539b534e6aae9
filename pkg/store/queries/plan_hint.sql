-- Puts a claimed hint off; what was told again meanwhile stays due.
UPDATE refund_hints
SET next_check_at = $4, check_count = check_count + 1
WHERE mchid = $1 AND out_refund_no = $2 AND next_check_at = $3
