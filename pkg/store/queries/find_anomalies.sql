-- The anomalies of a payment; of every merchant's that has the number where $2 is ''.
SELECT a.mchid, a.transaction_id, a.kind, a.out_refund_no, a.out_trade_no, a.policy, a.state, a.expected_fen, a.actual_fen,
       a.observed_at, a.decision, a.decided_by, a.decision_reason, a.decided_at
FROM anomalies AS a
WHERE a.transaction_id = $1 AND ($2 = '' OR a.mchid = $2)
ORDER BY a.mchid, a.observed_at, a.kind, a.out_refund_no
LIMIT $3
