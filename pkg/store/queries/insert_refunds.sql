-- Puts new refunds into the books, in the order of their key, so that batches
-- that want the same numbers wait for each other in one order. A number that is
-- taken is left alone: the count then differs from what was sent.
INSERT INTO refunds (mchid, out_refund_no, out_trade_no, transaction_id, refund_id, amount_fen, currency, reason, funds, origin,
                     digest, state, sequence, created_at, updated_at, next_check_at, check_api)
SELECT c.mchid, c.out_refund_no, c.out_trade_no, c.transaction_id, c.refund_id, c.amount_fen, c.currency, c.reason, c.funds, c.origin,
       c.digest, c.state, c.sequence, c.created_at, c.updated_at, c.next_check_at, c.check_api
FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::text[], $6::bigint[], $7::text[], $8::text[], $9::text[],
            $10::text[], $11::text[], $12::text[], $13::bigint[], $14::timestamptz[], $15::timestamptz[], $16::timestamptz[], $17::text[])
    AS c (mchid, out_refund_no, out_trade_no, transaction_id, refund_id, amount_fen, currency, reason, funds, origin,
          digest, state, sequence, created_at, updated_at, next_check_at, check_api)
ORDER BY c.mchid, c.out_refund_no
ON CONFLICT (mchid, out_refund_no) DO NOTHING
