-- Tells the audit that an operator has archived notifications settled again: a row for
-- each merchant, which names all of them.
INSERT INTO audit (mchid, audit_id, actor, action, subject, detail)
SELECT k.mchid, gen_random_uuid(), $3, 'notification.replay', min(k.delivery_id),
       jsonb_build_object('reason', $4::text, 'count', count(*), 'delivery_ids', jsonb_agg(k.delivery_id ORDER BY k.delivery_id))
FROM unnest($1::text[], $2::text[]) AS k (mchid, delivery_id)
GROUP BY k.mchid
