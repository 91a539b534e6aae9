-- How these commands ended, where that is known.
SELECT c.mchid, c.command_id, c.kind, c.out_trade_no, c.out_refund_no, c.digest, c.outcome, c.status, ''::bytea AS body, c.received_at, c.finished_at
FROM unnest($1::text[], $2::uuid[]) AS k (mchid, command_id)
JOIN commands AS c ON c.mchid = k.mchid AND c.command_id = k.command_id
