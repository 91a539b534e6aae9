-- Makes the refunds of these orders due that WeChat Pay may have brought to their end.
-- Whoever is about to act on one keeps it.
UPDATE refunds AS r
SET next_check_at = now()
FROM (SELECT u.mchid, u.out_trade_no FROM unnest($1::text[], $2::text[]) AS u (mchid, out_trade_no)) AS k
WHERE r.mchid = k.mchid AND r.out_trade_no = k.out_trade_no AND r.state IN ('requested', 'processing')
  AND r.next_check_at > now() AND (r.leased_until IS NULL OR r.leased_until <= now())
