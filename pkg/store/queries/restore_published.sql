-- Puts back what was told, as the stream holds it, where the books know nothing of it.
INSERT INTO published (event_id, mchid, out_trade_no, fact, payload, created_at, published_at, stream_sequence, duplicate)
SELECT DISTINCT ON (e.event_id) e.event_id, e.mchid, e.out_trade_no, e.fact, e.payload, e.created_at, e.published_at, e.stream_sequence, false
FROM unnest($1::uuid[], $2::text[], $3::text[], $4::text[], $5::text[], $6::timestamptz[], $7::timestamptz[], $8::bigint[])
    AS e (event_id, mchid, out_trade_no, fact, payload, created_at, published_at, stream_sequence)
WHERE NOT EXISTS (SELECT FROM published AS p WHERE p.event_id = e.event_id)
ORDER BY e.event_id, e.stream_sequence
ON CONFLICT (event_id, published_at) DO NOTHING
