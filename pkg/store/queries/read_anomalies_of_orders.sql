-- Reads the anomalies of orders.
SELECT a.mchid, a.transaction_id, a.kind, a.out_refund_no, a.out_trade_no, a.policy, a.state, a.expected_fen, a.actual_fen, a.observed_at, a.decided_at
FROM unnest($1::text[], $2::text[]) AS k (mchid, out_trade_no)
JOIN anomalies AS a ON a.mchid = k.mchid AND a.out_trade_no = k.out_trade_no
