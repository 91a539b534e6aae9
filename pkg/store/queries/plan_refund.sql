-- Says when a claimed refund is looked at next and ends its lease. What somebody made
-- due meanwhile stays due, to be asked about; any other call is the holder's own (a wish
-- to drive it on would have ended the lease), so there the plan's call counts.
UPDATE refunds AS r
SET check_api      = CASE WHEN r.next_check_at <> $3 AND r.check_api = 'refund_query' THEN r.check_api ELSE $5 END,
    next_check_at  = CASE WHEN r.next_check_at <> $3 THEN least(r.next_check_at, $4::timestamptz) ELSE $4::timestamptz END,
    check_count    = $6,
    failure_code   = $7,
    failure_reason = $8,
    leased_until   = NULL
WHERE r.mchid = $1 AND r.out_refund_no = $2 AND r.leased_until = $3::timestamptz
