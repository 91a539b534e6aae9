-- Lets one worker make an order's credential anew: nobody does, or whoever did is gone.
INSERT INTO renewals AS r (mchid, out_trade_no, holder, lease_until)
VALUES ($1, $2, $3::uuid, clock_timestamp() + make_interval(secs => $4))
ON CONFLICT (mchid, out_trade_no) DO UPDATE
SET holder = excluded.holder, lease_until = excluded.lease_until
WHERE r.lease_until <= clock_timestamp()
