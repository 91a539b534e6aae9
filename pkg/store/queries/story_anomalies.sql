-- Money that did not fit one order, and what was decided about it.
SELECT mchid, transaction_id, kind, out_refund_no, out_trade_no, policy, state, expected_fen, actual_fen, observed_at,
       decision, decided_by, decision_reason, decided_at
FROM anomalies
WHERE mchid = $1 AND out_trade_no = $2
ORDER BY observed_at, transaction_id, kind, out_refund_no
