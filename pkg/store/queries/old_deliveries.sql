-- The daily partitions of the archive before a given one, the oldest first.
-- The DEFAULT partition has no day and is never among them.
SELECT child.relname
FROM pg_inherits AS i
JOIN pg_class AS child ON child.oid = i.inhrelid
WHERE i.inhparent = 'deliveries'::regclass AND child.relname ~ '^deliveries_[0-9]{8}$' AND child.relname < $1
ORDER BY child.relname
