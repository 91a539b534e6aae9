-- wish_abnormal
-- Keeps a wish to drive an abnormal refund on and who had it, and why where they said so,
-- and makes the refund due. Whoever holds a lease on it loses it: a question that
-- is under way must not plan its next call over the wish. A wish that is under
-- way keeps its lease and its bytes, because its call may be on the line. The
-- count says that WeChat Pay is asked before any call: whoever makes the first
-- may die before it is counted.
WITH wished AS (
    UPDATE refunds
    SET abnormal_request = $3, abnormal_key_id = $4, check_api = 'refund_abnormal', check_count = 1, next_check_at = now(), leased_until = NULL
    WHERE mchid = $1 AND out_refund_no = $2 AND state = 'abnormal' AND check_api <> 'refund_abnormal'
    RETURNING mchid, out_refund_no, out_trade_no, transaction_id, refund_id, abnormal_rounds, abnormal_key_id
), audited AS (
    INSERT INTO audit (mchid, audit_id, actor, action, subject, detail)
    SELECT w.mchid, gen_random_uuid(), $5, 'refund.drive_on', w.out_refund_no,
           jsonb_build_object('out_trade_no', w.out_trade_no, 'transaction_id', w.transaction_id, 'refund_id', w.refund_id,
                              'round', w.abnormal_rounds, 'key_id', w.abnormal_key_id)
           || CASE WHEN $6::text <> '' THEN jsonb_build_object('reason', $6::text) ELSE '{}' END
    FROM wished AS w
)
SELECT count(*) FROM wished
