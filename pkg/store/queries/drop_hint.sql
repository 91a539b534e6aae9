-- Drops a claimed hint; what was told again meanwhile stays.
DELETE FROM refund_hints
WHERE mchid = $1 AND out_refund_no = $2 AND next_check_at = $3
