-- Makes refunds due of which somebody spoke without proof. One of ours that is
-- unresolved becomes due in its own row (its lease stands: whoever holds it is
-- asking already); one that ended at WeChat Pay needs nothing; one that we do
-- not know goes on the list of numbers to ask about, and so does one that failed:
-- its money may have left all the same. Numbers come sorted, each once; the rows
-- of known refunds are locked by this batch, but for one that came into the books
-- since. That is due by itself, and is passed over where somebody else holds it.
WITH hinted AS (
    SELECT h.mchid, h.out_refund_no, h.out_trade_no, h.protocol
    FROM unnest($1::text[], $2::text[], $3::text[], $4::text[]) AS h (mchid, out_refund_no, out_trade_no, protocol)
), held AS (
    SELECT r.mchid, r.out_refund_no
    FROM hinted AS h
    JOIN refunds AS r ON r.mchid = h.mchid AND r.out_refund_no = h.out_refund_no
    WHERE r.state IN ('requested', 'processing', 'abnormal')
    FOR NO KEY UPDATE OF r SKIP LOCKED
), due AS (
    UPDATE refunds AS r
    SET next_check_at = least(r.next_check_at, now()),
        check_api = CASE WHEN r.state = 'processing' THEN 'refund_query' ELSE r.check_api END
    FROM held AS h
    WHERE r.mchid = h.mchid AND r.out_refund_no = h.out_refund_no
)
INSERT INTO refund_hints AS known (mchid, out_refund_no, out_trade_no, protocol, next_check_at)
SELECT h.mchid, h.out_refund_no, coalesce(r.out_trade_no, h.out_trade_no), h.protocol, now()
FROM hinted AS h
LEFT JOIN refunds AS r ON r.mchid = h.mchid AND r.out_refund_no = h.out_refund_no
WHERE r.state IS NULL OR r.state = 'failed'
ORDER BY h.mchid, h.out_refund_no
ON CONFLICT (mchid, out_refund_no) DO UPDATE SET next_check_at = least(known.next_check_at, excluded.next_check_at)
