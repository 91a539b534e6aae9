-- Makes the letters due that waited for a payment which is in the books now. They lie
-- behind a partial index, which is mostly empty.
UPDATE dead_letters AS l
SET next_retry_at = least(l.next_retry_at, now())
FROM unnest($1::text[], $2::text[]) AS k (mchid, out_trade_no)
WHERE l.mchid = k.mchid AND l.out_trade_no = k.out_trade_no AND l.reason = 'unknown_order' AND l.state = 'waiting'
