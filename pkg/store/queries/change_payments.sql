-- Writes the sums of known payments, where they still are what was read, and
-- when WeChat Pay first told of one by itself.
UPDATE payments AS p
SET refunded_fen = c.refunded_now, reserved_fen = c.reserved_now, overrun_fen = c.overrun_now,
    notified_at = coalesce(p.notified_at, c.notified_at)
FROM unnest($1::text[], $2::text[], $3::bigint[], $4::bigint[], $5::bigint[], $6::bigint[], $7::bigint[], $8::bigint[], $9::timestamptz[])
    AS c (mchid, transaction_id, refunded_was, reserved_was, overrun_was, refunded_now, reserved_now, overrun_now, notified_at)
WHERE p.mchid = c.mchid AND p.transaction_id = c.transaction_id
  AND p.refunded_fen = c.refunded_was AND p.reserved_fen = c.reserved_was AND p.overrun_fen = c.overrun_was
