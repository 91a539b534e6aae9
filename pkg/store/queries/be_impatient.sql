-- Bounds, within this transaction, how long a statement waits for a row that
-- somebody else holds, and how long it may take at all. Both as "200ms".
SELECT set_config('lock_timeout', $1, true), set_config('statement_timeout', $2, true)
