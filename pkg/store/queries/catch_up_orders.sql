-- Lets orders go on after the last sequence that was told of them, so that subscribers
-- who keep the highest take what comes next, and makes those due that WeChat Pay may
-- know more of.
UPDATE orders AS o
SET sequence = greatest(o.sequence, k.sequence),
    check_api = CASE WHEN o.state IN ('created', 'awaiting_payment') AND o.next_check_at > now() THEN 'order_query' ELSE o.check_api END,
    next_check_at = CASE WHEN o.state IN ('created', 'awaiting_payment') THEN least(o.next_check_at, now()) ELSE o.next_check_at END
FROM (SELECT u.mchid, u.out_trade_no, u.sequence FROM unnest($1::text[], $2::text[], $3::bigint[]) AS u (mchid, out_trade_no, sequence)
      ORDER BY u.mchid, u.out_trade_no) AS k
WHERE o.mchid = k.mchid AND o.out_trade_no = k.out_trade_no
  AND (o.sequence < k.sequence OR o.state IN ('created', 'awaiting_payment') AND o.next_check_at > now())
