-- What fenflow asks of the server beyond durability: its version, whether it takes
-- writes, whether dead rows are cleaned away, and how many connections it has left.
SELECT current_setting('server_version_num')::integer AS version,
       split_part(current_setting('server_version'), ' ', 1) AS version_text,
       pg_is_in_recovery() AS standby,
       current_setting('autovacuum') = 'on' AND current_setting('track_counts') = 'on' AS autovacuum,
       current_setting('max_connections')::integer AS max_connections,
       current_setting('superuser_reserved_connections')::integer
           + coalesce(nullif(current_setting('reserved_connections', true), ''), '0')::integer AS reserved,
       (SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'client backend')::integer AS in_use
