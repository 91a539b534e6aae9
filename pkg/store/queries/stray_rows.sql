-- Whether rows went to a DEFAULT partition, because nobody had made theirs.
SELECT EXISTS (SELECT FROM deliveries_default) OR EXISTS (SELECT FROM published_default) AS stray
