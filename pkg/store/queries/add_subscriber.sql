-- Adds a subscriber with the first sample of it, and tells the audit, unless its name or
-- its key is taken.
WITH added AS (
    INSERT INTO subscribers (subscriber_id, name, mchid, nkey, facts, from_at, stream_created_at, starts_after, created_by)
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $10)
    ON CONFLICT DO NOTHING
    RETURNING subscriber_id, name, mchid, nkey, facts, from_at, stream_created_at, starts_after, created_by
), sampled AS (
    INSERT INTO subscriber_acks (subscriber_id, stream_created_at, ack_floor, stored_at)
    SELECT a.subscriber_id, a.stream_created_at, a.starts_after, $9
    FROM added AS a
), audited AS (
    INSERT INTO audit (mchid, audit_id, actor, action, subject, detail)
    SELECT a.mchid, gen_random_uuid(), a.created_by, 'subscriber.add', a.name,
           jsonb_strip_nulls(jsonb_build_object('reason', $11::text, 'nkey', a.nkey, 'facts', nullif(array_to_string(a.facts, ','), ''), 'from', a.from_at))
    FROM added AS a
)
SELECT count(*) FROM added
