-- A page of anomalies of one state, the oldest first. The instant is asked for twice: the
-- index begins with it, and the other columns only order what was found at the same one.
SELECT a.mchid, a.transaction_id, a.kind, a.out_refund_no, a.out_trade_no, a.policy, a.state, a.expected_fen, a.actual_fen,
       a.observed_at, a.decision, a.decided_by, a.decision_reason, a.decided_at
FROM anomalies AS a
WHERE a.state = $1 AND ($2 = '' OR a.mchid = $2) AND ($3 = '' OR a.kind = $3)
  AND a.observed_at >= greatest($4::timestamptz, $5::timestamptz)
  AND (a.observed_at, a.mchid, a.transaction_id, a.kind, a.out_refund_no) > ($5::timestamptz, $6, $7, $8, $9)
ORDER BY a.observed_at, a.mchid, a.transaction_id, a.kind, a.out_refund_no
LIMIT $10
