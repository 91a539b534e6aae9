-- Ends the pulling forward that a change to the tight gear began, once its time is over.
UPDATE merchant_gears
SET pull_until = NULL
WHERE mchid = $1 AND pull_until <= now()
