-- Places an order: row, history and event in one statement, so that none can be without the others.
WITH placed AS (
    INSERT INTO orders (mchid, out_trade_no, appid, client, protocol, description, amount_fen, currency, openid, attach,
                        digest, state, sequence, created_at, updated_at, expires_at, prepay_request, next_check_at, check_api,
                        account_id)
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19,
            nullif($40::text, '')::uuid)
    ON CONFLICT (mchid, out_trade_no) DO NOTHING
    RETURNING mchid, out_trade_no
), told AS (
    INSERT INTO history (mchid, out_trade_no, sequence, what, source, from_state, to_state, transaction_id,
                         delivery_id, key_id, detail, at, out_refund_no, refund_from, refund_to)
    SELECT h.mchid, h.out_trade_no, h.sequence, h.what, h.source, h.from_state, h.to_state, h.transaction_id,
           nullif(h.delivery_id, '')::uuid, h.key_id, h.detail, h.at, h.out_refund_no, h.refund_from, h.refund_to
    FROM unnest($20::text[], $21::text[], $22::bigint[], $23::text[], $24::text[], $25::text[], $26::text[], $27::text[],
                $28::text[], $29::text[], $30::text[], $31::timestamptz[], $32::text[], $33::text[], $34::text[])
        AS h (mchid, out_trade_no, sequence, what, source, from_state, to_state, transaction_id, delivery_id, key_id, detail, at,
              out_refund_no, refund_from, refund_to)
    JOIN placed USING (mchid, out_trade_no)
), queued AS (
    INSERT INTO outbox (event_id, mchid, out_trade_no, fact, payload)
    SELECT e.event_id, e.mchid, e.out_trade_no, e.fact, e.payload
    FROM unnest($35::uuid[], $36::text[], $37::text[], $38::text[], $39::text[])
        AS e (event_id, mchid, out_trade_no, fact, payload)
    JOIN placed USING (mchid, out_trade_no)
)
SELECT count(*) FROM placed
