-- Makes refunds due of which somebody spoke without proof. One of ours that is
-- unresolved becomes due in its own row (its lease stands: whoever holds it is
-- asking already); one that ended needs nothing; one that we do not know goes
-- on the list of numbers to ask about. Numbers come sorted, each once; the rows
-- of known refunds are locked by this batch.
WITH hinted AS (
    SELECT h.mchid, h.out_refund_no, h.out_trade_no, h.protocol
    FROM unnest($1::text[], $2::text[], $3::text[], $4::text[]) AS h (mchid, out_refund_no, out_trade_no, protocol)
), due AS (
    UPDATE refunds AS r
    SET next_check_at = least(r.next_check_at, now()),
        check_api = CASE WHEN r.state = 'processing' THEN 'refund_query' ELSE r.check_api END
    FROM hinted AS h
    WHERE r.mchid = h.mchid AND r.out_refund_no = h.out_refund_no
      AND r.state IN ('requested', 'processing', 'abnormal')
)
INSERT INTO refund_hints AS known (mchid, out_refund_no, out_trade_no, protocol, next_check_at)
SELECT h.mchid, h.out_refund_no, h.out_trade_no, h.protocol, now()
FROM hinted AS h
WHERE NOT EXISTS (SELECT 1 FROM refunds AS r WHERE r.mchid = h.mchid AND r.out_refund_no = h.out_refund_no)
ORDER BY h.mchid, h.out_refund_no
ON CONFLICT (mchid, out_refund_no) DO UPDATE SET next_check_at = least(known.next_check_at, excluded.next_check_at)
