-- The anomalies of locked orders, in the order in which they were found. The lock of the
-- order is theirs, too: nobody writes them without it.
SELECT a.mchid, a.transaction_id, a.kind, a.out_refund_no, a.out_trade_no, a.policy, a.state, a.expected_fen, a.actual_fen,
       a.observed_at, a.decision, a.decided_by, a.decision_reason, a.decided_at
FROM unnest($1::text[], $2::text[]) AS k (mchid, out_trade_no)
JOIN anomalies AS a ON a.mchid = k.mchid AND a.out_trade_no = k.out_trade_no
ORDER BY a.observed_at, a.transaction_id, a.kind, a.out_refund_no
