-- What was told about these orders.
SELECT p.event_id, p.mchid, p.out_trade_no, p.fact, p.payload, p.created_at, p.published_at, p.stream_sequence
FROM unnest($1::text[], $2::text[]) AS k (mchid, out_trade_no)
JOIN published AS p ON p.mchid = k.mchid AND p.out_trade_no = k.out_trade_no
