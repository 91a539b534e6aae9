-- The gear of each merchant that was judged.
SELECT mchid, gear
FROM merchant_gears
