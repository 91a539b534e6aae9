-- Discards a letter that is not at an end, and tells the audit who did it and why.
WITH discarded AS (
    UPDATE dead_letters AS l
    SET state = 'discarded', next_retry_at = NULL
    WHERE l.delivery_id = $1 AND l.state IN ('waiting', 'open', 'replaying')
    RETURNING l.mchid, l.delivery_id, l.reason
), audited AS (
    INSERT INTO audit (mchid, audit_id, actor, action, subject, detail)
    SELECT d.mchid, gen_random_uuid(), $2, 'dead_letter.discard', d.delivery_id::text,
           jsonb_build_object('reason', $3::text, 'letter_reason', d.reason)
    FROM discarded AS d
)
SELECT count(*) FROM discarded
