-- The calls that sent the given refunds.
SELECT a.mchid, a.out_refund_no, a.attempt, a.started_at, a.finished_at, a.outcome, a.status, a.code, a.request_id
FROM unnest($1::text[], $2::text[]) AS k (mchid, out_refund_no)
JOIN refund_attempts AS a ON a.mchid = k.mchid AND a.out_refund_no = k.out_refund_no
ORDER BY a.mchid, a.out_refund_no, a.attempt
