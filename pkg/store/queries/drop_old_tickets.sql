-- Drops tickets that ran out, so many at most.
DELETE FROM login_tickets
WHERE ticket_sum IN (SELECT t.ticket_sum FROM login_tickets AS t WHERE t.expires_at < $1 ORDER BY t.expires_at LIMIT $2 FOR UPDATE SKIP LOCKED)
