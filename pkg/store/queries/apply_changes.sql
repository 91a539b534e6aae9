-- Writes what a batch did to its locked orders. History, payments, anomalies
-- and events hang on the rows that the guarded UPDATE returned: where it
-- touches nothing, nothing else is written. The counts must equal what was sent.
WITH moved AS (
    UPDATE orders AS o
    SET state = c.state, sequence = c.sequence, updated_at = c.updated_at, prepay_id = c.prepay_id, code_url = c.code_url,
        credential_expires_at = c.credential_expires_at, transaction_id = nullif(c.transaction_id, ''), paid_at = c.paid_at,
        late = c.late, closed_at = c.closed_at, failure_code = c.failure_code, failure_reason = c.failure_reason,
        next_check_at = c.next_check_at
    FROM unnest($1::text[], $2::text[], $3::bigint[], $4::text[], $5::bigint[], $6::timestamptz[], $7::text[], $8::text[],
                $9::timestamptz[], $10::text[], $11::timestamptz[], $12::boolean[], $13::timestamptz[], $14::text[],
                $15::text[], $16::timestamptz[])
        AS c (mchid, out_trade_no, expected, state, sequence, updated_at, prepay_id, code_url, credential_expires_at,
              transaction_id, paid_at, late, closed_at, failure_code, failure_reason, next_check_at)
    WHERE o.mchid = c.mchid AND o.out_trade_no = c.out_trade_no
      AND o.sequence = c.expected
      AND (o.state = c.state OR order_may_move(o.state, c.state))
    RETURNING o.mchid, o.out_trade_no
), told AS (
    INSERT INTO history (mchid, out_trade_no, sequence, what, source, from_state, to_state, transaction_id,
                         delivery_id, key_id, detail, at)
    SELECT h.mchid, h.out_trade_no, h.sequence, h.what, h.source, h.from_state, h.to_state, h.transaction_id,
           nullif(h.delivery_id, '')::uuid, h.key_id, h.detail, h.at
    FROM unnest($17::text[], $18::text[], $19::bigint[], $20::text[], $21::text[], $22::text[], $23::text[], $24::text[],
                $25::text[], $26::text[], $27::text[], $28::timestamptz[])
        AS h (mchid, out_trade_no, sequence, what, source, from_state, to_state, transaction_id, delivery_id, key_id, detail, at)
    JOIN moved USING (mchid, out_trade_no)
    RETURNING 1
), queued AS (
    INSERT INTO outbox (event_id, mchid, out_trade_no, fact, payload)
    SELECT e.event_id, e.mchid, e.out_trade_no, e.fact, e.payload
    FROM unnest($29::uuid[], $30::text[], $31::text[], $32::text[], $33::text[])
        AS e (event_id, mchid, out_trade_no, fact, payload)
    JOIN moved USING (mchid, out_trade_no)
    RETURNING 1
), paid AS (
    INSERT INTO payments (mchid, transaction_id, out_trade_no, amount_fen, payer_total_fen, currency, openid, trade_type,
                          bank_type, paid_at, observed_at)
    SELECT p.mchid, p.transaction_id, p.out_trade_no, p.amount_fen, p.payer_total_fen, p.currency, p.openid, p.trade_type,
           p.bank_type, p.paid_at, p.observed_at
    FROM unnest($34::text[], $35::text[], $36::text[], $37::bigint[], $38::bigint[], $39::text[], $40::text[], $41::text[],
                $42::text[], $43::timestamptz[], $44::timestamptz[])
        AS p (mchid, transaction_id, out_trade_no, amount_fen, payer_total_fen, currency, openid, trade_type, bank_type,
              paid_at, observed_at)
    JOIN moved USING (mchid, out_trade_no)
    RETURNING 1
), odd AS (
    INSERT INTO anomalies (mchid, transaction_id, kind, out_trade_no, policy, state, expected_fen, actual_fen, observed_at,
                           decided_at)
    SELECT a.mchid, a.transaction_id, a.kind, a.out_trade_no, a.policy, a.state, a.expected_fen, a.actual_fen, a.observed_at,
           CASE WHEN a.state <> 'open' THEN a.observed_at END
    FROM unnest($45::text[], $46::text[], $47::text[], $48::text[], $49::text[], $50::text[], $51::bigint[], $52::bigint[],
                $53::timestamptz[])
        AS a (mchid, transaction_id, kind, out_trade_no, policy, state, expected_fen, actual_fen, observed_at)
    JOIN moved USING (mchid, out_trade_no)
    RETURNING 1
)
SELECT (SELECT count(*) FROM moved) AS orders, (SELECT count(*) FROM told) AS history, (SELECT count(*) FROM queued) AS events,
       (SELECT count(*) FROM paid) AS payments, (SELECT count(*) FROM odd) AS anomalies
