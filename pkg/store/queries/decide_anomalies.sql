-- Money that did not fit and went back as a whole needs nobody's decision any
-- more. That more went back than came in still does.
UPDATE anomalies AS a
SET state = 'refunded', decided_at = g.at
FROM unnest($1::text[], $2::text[], $3::timestamptz[]) AS g (mchid, transaction_id, at)
WHERE a.mchid = g.mchid AND a.transaction_id = g.transaction_id
  AND a.state = 'open' AND a.kind <> 'refund_overrun'
RETURNING a.mchid, a.transaction_id, a.kind, a.out_trade_no, a.out_refund_no, a.policy, a.state, a.expected_fen, a.actual_fen, a.observed_at
