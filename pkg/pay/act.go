package pay

import "maps"

// Act is what a person did through fenflow, for the audit log.
type Act struct {
	ID     string // a UUID: the same however often the act is carried out
	Actor  string // such as "token:night-shift"
	Reason string
}

// audit tells of a person's act on a refund, with the change that it made.
func (b *Book) audit(c *Change, obs Observation, action string, r *Refund, more map[string]any) {
	if obs.Act == nil {
		return
	}
	detail := map[string]any{
		"reason": obs.Act.Reason, "out_trade_no": string(r.OutTradeNo), "transaction_id": string(r.TransactionID), "amount_fen": int64(r.Amount),
	}
	maps.Copy(detail, more)
	maps.DeleteFunc(detail, func(_ string, v any) bool { return v == "" })
	c.Audits = append(c.Audits, AuditEntry{
		ID: obs.Act.ID, At: obs.ObservedAt, MchID: r.MchID, Actor: obs.Act.Actor, Action: action, Subject: string(r.OutRefundNo), Detail: detail,
	})
}
