-- retry_refund
-- Makes the next call about a refund due now, whatever it is, and tells the audit who
-- wanted that and why. The refund is held by now. What is due already stays as it is.
WITH retried AS (
    UPDATE refunds AS r
    SET next_check_at = now()
    WHERE r.mchid = $1 AND r.out_refund_no = $2 AND r.next_check_at > now()
    RETURNING r.mchid, r.out_refund_no, r.out_trade_no, r.transaction_id, r.state, r.check_api
), audited AS (
    INSERT INTO audit (mchid, audit_id, actor, action, subject, detail)
    SELECT t.mchid, gen_random_uuid(), $3, 'refund.retry', t.out_refund_no,
           jsonb_build_object('reason', $4::text, 'out_trade_no', t.out_trade_no, 'transaction_id', t.transaction_id, 'state', t.state, 'call', t.check_api)
    FROM retried AS t
)
SELECT count(*) FROM retried
