-- Writes what became of open anomalies, and tells the audit of each decision of a person.
-- (That all of the money went back is in the history of its refunds.) The counts must
-- equal what was sent.
WITH decided AS (
    UPDATE anomalies AS a
    SET state = c.state, decision = c.decision, decided_by = c.decided_by, decision_reason = c.reason, decided_at = c.decided_at
    FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::text[], $6::text[], $7::text[], $8::text[], $9::timestamptz[])
        AS c (mchid, transaction_id, kind, out_refund_no, state, decision, decided_by, reason, decided_at)
    WHERE a.mchid = c.mchid AND a.transaction_id = c.transaction_id AND a.kind = c.kind AND a.out_refund_no = c.out_refund_no
      AND a.state = 'open'
    RETURNING 1
), audited AS (
    INSERT INTO audit (mchid, audit_id, actor, action, subject, detail)
    SELECT d.mchid, gen_random_uuid(), d.actor, 'anomaly.' || d.decision, d.out_trade_no,
           jsonb_build_object('reason', d.reason, 'kind', d.kind, 'transaction_id', d.transaction_id, 'out_refund_no', d.out_refund_no)
    FROM unnest($10::text[], $11::text[], $12::text[], $13::text[], $14::text[], $15::text[], $16::text[], $17::text[])
        AS d (mchid, out_trade_no, actor, decision, reason, kind, transaction_id, out_refund_no)
    RETURNING 1
)
SELECT (SELECT count(*) FROM decided) AS decided, (SELECT count(*) FROM audited) AS audits
