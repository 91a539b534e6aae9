-- Who discarded a letter, when, and why.
SELECT a.actor, a.at, coalesce(a.detail ->> 'reason', '') AS reason
FROM audit AS a
WHERE a.mchid = $1 AND a.subject = $2 AND a.action = 'dead_letter.discard'
ORDER BY a.at DESC
LIMIT 1
