-- Makes the letters due that waited for a payment which is in the books now, those
-- among them that waited so long that they opened: such a one opens again if it fails
-- again. What a person dealt with stays as it is. A partial index holds these letters,
-- and is mostly empty.
UPDATE dead_letters AS l
SET state = 'waiting', next_retry_at = least(l.next_retry_at, now())
FROM unnest($1::text[], $2::text[]) AS k (mchid, out_trade_no)
WHERE l.mchid = k.mchid AND l.out_trade_no = k.out_trade_no AND l.reason = 'unknown_order' AND l.state IN ('waiting', 'open')
RETURNING l.mchid, l.out_trade_no, l.delivery_id
