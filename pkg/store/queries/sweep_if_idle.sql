-- Takes a sweep that nobody began for a while. Of those who come at once the second
-- waits for the first, reads its row again and finds the sweep begun.
INSERT INTO sweeps AS s (kind, begun_at)
SELECT $1, clock_timestamp()
WHERE NOT EXISTS (SELECT FROM sweeps AS b WHERE b.kind = $1 AND b.begun_at > clock_timestamp() - make_interval(secs => $2))
ON CONFLICT (kind) DO UPDATE SET begun_at = clock_timestamp()
WHERE s.begun_at <= clock_timestamp() - make_interval(secs => $2)
