-- Takes refunds one step along the table, from the state in which each must
-- be. A new state ends the lease of whoever was about to act on the old one,
-- and an operator's wish about it.
UPDATE refunds AS r
SET state = c.state, refund_id = c.refund_id, sequence = c.sequence, updated_at = c.updated_at, succeeded_at = c.succeeded_at,
    received_account = c.received_account, failure_code = c.failure_code, failure_reason = c.failure_reason,
    next_check_at = c.next_check_at, check_api = c.check_api, check_count = c.check_count, abnormal_rounds = c.abnormal_rounds,
    leased_until = NULL, abnormal_request = NULL, abnormal_key_id = ''
FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::text[], $6::bigint[], $7::timestamptz[], $8::timestamptz[],
            $9::text[], $10::text[], $11::text[], $12::timestamptz[], $13::text[], $14::bigint[], $15::bigint[])
    AS c (mchid, out_refund_no, expected, state, refund_id, sequence, updated_at, succeeded_at, received_account, failure_code,
          failure_reason, next_check_at, check_api, check_count, abnormal_rounds)
WHERE r.mchid = c.mchid AND r.out_refund_no = c.out_refund_no
  AND r.state = c.expected
  AND refund_may_move(r.state, c.state)
