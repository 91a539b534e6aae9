-- Locks a refund and says what speaks against sending it now. The payment is locked
-- already, so that every attempt on it that could count is committed and seen.
SELECT r.state = 'requested' AND r.check_api = 'refund' AND r.leased_until IS NOT DISTINCT FROM $3::timestamptz AS held,
       (SELECT max(a.started_at) + make_interval(secs => $5)
        FROM refunds AS s
        JOIN refund_attempts AS a ON a.mchid = s.mchid AND a.out_refund_no = s.out_refund_no
        WHERE s.mchid = r.mchid AND s.transaction_id = r.transaction_id AND s.out_refund_no <> r.out_refund_no
          AND a.started_at > clock_timestamp() - make_interval(secs => $5)) AS after_others,
       (SELECT max(a.started_at) + make_interval(secs => $4)
        FROM refund_attempts AS a
        WHERE a.mchid = r.mchid AND a.out_refund_no = r.out_refund_no AND a.finished_at IS NULL
          AND a.started_at > clock_timestamp() - make_interval(secs => $4)) AS after_own
FROM refunds AS r
WHERE r.mchid = $1 AND r.out_refund_no = $2
FOR NO KEY UPDATE OF r
