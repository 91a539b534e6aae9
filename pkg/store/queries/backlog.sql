-- What the unresolved orders of a merchant ask of its budget.
SELECT count(*) FILTER (WHERE o.created_at > now() - make_interval(secs => $2)) AS young,
       count(*) FILTER (WHERE o.created_at <= now() - make_interval(secs => $2)) AS old,
       count(*) FILTER (WHERE o.next_check_at <= now()) AS due
FROM orders AS o
WHERE o.mchid = $1 AND o.next_check_at IS NOT NULL AND o.state IN ('created', 'awaiting_payment')
