-- Begins an attempt, if enough of the lease is left by now: keeps the bytes that it
-- sends, unless there are some already, and makes a question the refund's next call. If
-- nobody comes back from this attempt, it is asked about before anything is sent again.
WITH kept AS (
    UPDATE refunds AS r
    SET request = coalesce(r.request, $3), check_api = 'refund_query'
    WHERE r.mchid = $1 AND r.out_refund_no = $2 AND r.leased_until >= clock_timestamp() + make_interval(secs => $4)
    RETURNING r.mchid, r.out_refund_no, r.request
), begun AS (
    INSERT INTO refund_attempts (mchid, out_refund_no, attempt, started_at)
    SELECT k.mchid, k.out_refund_no,
           1 + coalesce((SELECT max(a.attempt) FROM refund_attempts AS a WHERE a.mchid = $1 AND a.out_refund_no = $2), 0),
           clock_timestamp()
    FROM kept AS k
    RETURNING attempt
)
SELECT b.attempt, k.request
FROM begun AS b
CROSS JOIN kept AS k
