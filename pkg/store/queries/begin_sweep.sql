-- Notes that a sweep begins. The clock is read anew: somebody may have to be waited for.
INSERT INTO sweeps AS s (kind, begun_at)
VALUES ($1, clock_timestamp())
ON CONFLICT (kind) DO UPDATE SET begun_at = greatest(s.begun_at, clock_timestamp())
