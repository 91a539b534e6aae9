-- When a sweep of each kind last began.
SELECT kind, begun_at
FROM sweeps
