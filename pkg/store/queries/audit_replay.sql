-- Tells the audit of each delivery that an operator has settled again, with what its
-- letter lacks where it has one.
WITH replayed AS (
    SELECT k.mchid, k.delivery_id, l.reason
    FROM unnest($1::text[], $2::uuid[]) AS k (mchid, delivery_id)
    LEFT JOIN dead_letters AS l ON l.mchid = k.mchid AND l.delivery_id = k.delivery_id
)
INSERT INTO audit (mchid, audit_id, actor, action, subject, detail)
SELECT r.mchid, gen_random_uuid(), $3, CASE WHEN r.reason IS NULL THEN 'delivery.replay' ELSE 'dead_letter.replay' END, r.delivery_id::text,
       jsonb_strip_nulls(jsonb_build_object('reason', $4::text, 'letter_reason', r.reason, 'as_rehearsed', true))
FROM replayed AS r
