-- Who is connected to these books, by the name that each of fenflow's connections
-- gives itself, and since when the first connection of that name is there. Names
-- are shown to every user of the database; the time only to those of the same user.
SELECT application_name AS name, min(backend_start) AS since
FROM pg_stat_activity
WHERE datname = current_database() AND application_name LIKE 'fenflow-%'
GROUP BY application_name
ORDER BY application_name
