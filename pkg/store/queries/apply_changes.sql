-- Writes what a batch did to its locked orders. History, payments, anomalies
-- and events hang on the rows that the guarded UPDATE returned: where it
-- touches nothing, nothing else is written. Each anomaly tells the audit what
-- policy made of it. The counts must equal what was sent.
WITH moved AS (
    UPDATE orders AS o
    SET state = c.state, sequence = c.sequence, updated_at = c.updated_at, prepay_id = c.prepay_id, code_url = c.code_url,
        credential_expires_at = c.credential_expires_at, transaction_id = nullif(c.transaction_id, ''), paid_at = c.paid_at,
        late = c.late, closed_at = c.closed_at, failure_code = c.failure_code, failure_reason = c.failure_reason,
        next_check_at = c.next_check_at, check_api = c.check_api, checked_at = c.checked_at, h5_url = c.h5_url
    FROM unnest($1::text[], $2::text[], $3::bigint[], $4::text[], $5::bigint[], $6::timestamptz[], $7::text[], $8::text[],
                $9::timestamptz[], $10::text[], $11::timestamptz[], $12::boolean[], $13::timestamptz[], $14::text[],
                $15::text[], $16::timestamptz[], $17::text[], $18::timestamptz[], $19::text[])
        AS c (mchid, out_trade_no, expected, state, sequence, updated_at, prepay_id, code_url, credential_expires_at,
              transaction_id, paid_at, late, closed_at, failure_code, failure_reason, next_check_at, check_api, checked_at, h5_url)
    WHERE o.mchid = c.mchid AND o.out_trade_no = c.out_trade_no
      AND o.sequence = c.expected
      AND (o.state = c.state OR order_may_move(o.state, c.state))
    RETURNING o.mchid, o.out_trade_no
), told AS (
    INSERT INTO history (mchid, out_trade_no, sequence, what, source, from_state, to_state, transaction_id,
                         delivery_id, key_id, detail, at, out_refund_no, refund_from, refund_to)
    SELECT h.mchid, h.out_trade_no, h.sequence, h.what, h.source, h.from_state, h.to_state, h.transaction_id,
           nullif(h.delivery_id, '')::uuid, h.key_id, h.detail, h.at, h.out_refund_no, h.refund_from, h.refund_to
    FROM unnest($20::text[], $21::text[], $22::bigint[], $23::text[], $24::text[], $25::text[], $26::text[], $27::text[],
                $28::text[], $29::text[], $30::text[], $31::timestamptz[], $32::text[], $33::text[], $34::text[])
        AS h (mchid, out_trade_no, sequence, what, source, from_state, to_state, transaction_id, delivery_id, key_id, detail, at,
              out_refund_no, refund_from, refund_to)
    JOIN moved USING (mchid, out_trade_no)
    RETURNING 1
), queued AS (
    INSERT INTO outbox (event_id, mchid, out_trade_no, fact, payload)
    SELECT e.event_id, e.mchid, e.out_trade_no, e.fact, e.payload
    FROM unnest($35::uuid[], $36::text[], $37::text[], $38::text[], $39::text[])
        AS e (event_id, mchid, out_trade_no, fact, payload)
    JOIN moved USING (mchid, out_trade_no)
    RETURNING 1
), paid AS (
    INSERT INTO payments (mchid, transaction_id, out_trade_no, amount_fen, payer_total_fen, currency, openid, trade_type,
                          bank_type, paid_at, observed_at, notified_at, refunded_fen, reserved_fen, overrun_fen)
    SELECT p.mchid, p.transaction_id, p.out_trade_no, p.amount_fen, p.payer_total_fen, p.currency, p.openid, p.trade_type,
           p.bank_type, p.paid_at, p.observed_at, p.notified_at, p.refunded_fen, p.reserved_fen, p.overrun_fen
    FROM unnest($40::text[], $41::text[], $42::text[], $43::bigint[], $44::bigint[], $45::text[], $46::text[], $47::text[],
                $48::text[], $49::timestamptz[], $50::timestamptz[], $51::timestamptz[], $52::bigint[], $53::bigint[], $54::bigint[])
        AS p (mchid, transaction_id, out_trade_no, amount_fen, payer_total_fen, currency, openid, trade_type, bank_type,
              paid_at, observed_at, notified_at, refunded_fen, reserved_fen, overrun_fen)
    JOIN moved USING (mchid, out_trade_no)
    RETURNING 1
), odd AS (
    INSERT INTO anomalies (mchid, transaction_id, kind, out_trade_no, policy, state, expected_fen, actual_fen, observed_at,
                           out_refund_no, decision, decided_by, decided_at)
    SELECT a.mchid, a.transaction_id, a.kind, a.out_trade_no, a.policy, a.state, a.expected_fen, a.actual_fen, a.observed_at,
           a.out_refund_no, CASE WHEN a.state = 'open' THEN '' ELSE 'accept' END, CASE WHEN a.state = 'open' THEN '' ELSE 'policy' END,
           CASE WHEN a.state <> 'open' THEN a.observed_at END
    FROM unnest($55::text[], $56::text[], $57::text[], $58::text[], $59::text[], $60::text[], $61::bigint[], $62::bigint[],
                $63::timestamptz[], $64::text[])
        AS a (mchid, transaction_id, kind, out_trade_no, policy, state, expected_fen, actual_fen, observed_at, out_refund_no)
    JOIN moved USING (mchid, out_trade_no)
    RETURNING mchid, transaction_id, kind, out_trade_no, policy, state, expected_fen, actual_fen, out_refund_no
), audited AS (
    INSERT INTO audit (mchid, audit_id, actor, action, subject, detail)
    SELECT a.mchid, gen_random_uuid(), 'policy', 'anomaly.' || CASE WHEN a.state = 'open' THEN a.policy ELSE a.state END, a.out_trade_no,
           jsonb_build_object('kind', a.kind, 'transaction_id', a.transaction_id, 'out_refund_no', a.out_refund_no, 'policy', a.policy,
                              'state', a.state, 'expected_fen', a.expected_fen, 'actual_fen', a.actual_fen)
    FROM odd AS a
    RETURNING 1
)
SELECT (SELECT count(*) FROM moved) AS orders, (SELECT count(*) FROM told) AS history, (SELECT count(*) FROM queued) AS events,
       (SELECT count(*) FROM paid) AS payments, (SELECT count(*) FROM odd) AS anomalies, (SELECT count(*) FROM audited) AS audits
