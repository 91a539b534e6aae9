package cli

import (
	"context"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/fenflow/fenflow/pkg/operatorapi"
)

func (c *commandLine) orderShow() *cobra.Command {
	var mchid string
	show := c.asks("show NUMBER", "Show everything about one order, by any number that appears anywhere", cobra.ExactArgs(1), func(ctx context.Context, api remote, args []string) (answer, error) {
		s, raw, err := api.theStory(ctx, args[0], mchid)
		if err != nil {
			return answer{}, err
		}
		return answer{document: raw, text: c.storyText(s, strings.TrimSpace(args[0]))}, nil
	})
	show.Long = "Show everything about one order, by any number that appears anywhere: an out_trade_no,\ntransaction_id, out_refund_no, refund_id, delivery id, WeChat Pay's notification id, or event id."
	show.Flags().StringVar(&mchid, "mchid", "", "the merchant, where several use the number")
	return show
}

func (c *commandLine) storyText(s operatorapi.Story, number string) string {
	said := c.facts(orderFacts(s, number)...)
	var rows [][]cell
	for i := range s.Timeline {
		m := &s.Timeline[i]
		rows = append(rows, []cell{{fine(m.At)}, one(m.Kind), {m.What}, happened(m)})
	}
	if len(rows) == 0 {
		return said
	}
	return said + "\n" + c.grid([]string{"UTC", "KIND", "WHAT", "MORE"}, rows...)
}

func orderFacts(s operatorapi.Story, number string) [][]cell {
	o := s.Order
	found := ""
	if s.FoundBy != operatorapi.FoundByOutTradeNo {
		found = number + " is its " + string(s.FoundBy)
	}
	late := ""
	if o.Late {
		late = "late"
	}
	rows := [][]cell{
		fact("order", o.OutTradeNo, "merchant "+o.Mchid),
		fact("found by", found),
		fact("state", string(o.State), late, "sequence "+strconv.FormatInt(o.Sequence, 10)),
		fact("amount", amount(o.AmountFen, o.Currency)),
		fact("for", o.Description),
		fact("paid through", o.Client, o.Protocol, o.Appid),
		fact("buyer", labelled("account", o.AccountID)),
		fact("dates", dated("created", &o.CreatedAt), dated("expires", o.ExpiresAt), dated("paid", o.PaidAt), dated("closed", o.ClosedAt)),
		fact("next check", dated("at", o.NextCheckAt)),
		fact("failure", value(o.FailureCode), value(o.FailureReason)),
	}
	if s.Acknowledgements != nil && string(*s.Acknowledgements) == "unknown" {
		rows = append(rows, fact("who was told", "is not known now: no worker or no broker answers"))
	}
	for i := range s.Payments {
		rows = append(rows, paymentFact(&s.Payments[i], o.Currency))
	}
	for i := range s.Refunds {
		rows = append(rows, refundFact(&s.Refunds[i]))
	}
	for _, a := range s.Anomalies {
		rows = append(rows, fact("anomaly", a.Kind, a.State, "policy "+a.Policy,
			"expected "+amount(a.ExpectedFen, ""), "came "+amount(a.ActualFen, o.Currency),
			a.TransactionID, labelled("refund", a.OutRefundNo), dated("seen", &a.ObservedAt), dated("decided", a.DecidedAt)))
	}
	return rows
}

func paymentFact(p *operatorapi.Payment, currency string) []cell {
	sum := func(word string, fen int64) string {
		if fen == 0 {
			return ""
		}
		return word + " " + amount(fen, "")
	}
	return fact("payment", p.TransactionID, amount(p.AmountFen, currency), sum("refunded", p.RefundedFen), sum("reserved for refunds", p.ReservedFen),
		sum("refunded beyond the payment", p.OverrunFen), dated("paid", &p.PaidAt), dated("notified", p.NotifiedAt))
}

func refundFact(r *operatorapi.Refund) []cell {
	attempts := ""
	if n := len(r.Attempts); n > 0 {
		last := r.Attempts[n-1]
		attempts = counted(n, "attempt") + ", the last " + strings.TrimSpace(last.Outcome+" "+value(last.Code))
	}
	return fact("refund", r.OutRefundNo, string(r.State), amount(r.AmountFen, r.Currency), "by "+string(r.Origin), labelled("refund_id", r.RefundID),
		labelled("because", r.Reason), value(r.FailureCode), value(r.FailureReason), attempts,
		dated("asked for", &r.CreatedAt), dated("succeeded", r.SucceededAt), dated("next check", r.NextCheckAt))
}

// happened is what a moment's kind has to add.
func happened(m *operatorapi.Moment) cell {
	var more cell
	add := func(parts ...string) { more = append(more, parts...) }
	if from, to := value(m.From), value(m.To); from != to {
		add(strings.TrimSpace(from + " → " + to))
	}
	switch m.Kind {
	case operatorapi.MomentKindEvent:
		add(published(m), number("message", m.StreamSequence), labelled("event", m.EventID))
		add(acknowledged(m)...)
	case operatorapi.MomentKindLetter:
		add(value(m.State))
	case operatorapi.MomentKindAudit:
		add(labelled("by", m.Actor))
	case operatorapi.MomentKindHistory, operatorapi.MomentKindDelivery:
	}
	add(labelled("by", m.Source), number("sequence", m.Sequence),
		labelled("refund", m.OutRefundNo), labelled("transaction", m.TransactionID),
		labelled("notification", m.NotificationID), labelled("delivery", m.DeliveryID), labelled("key", m.KeyID), value(m.Detail))
	return more
}

func published(m *operatorapi.Moment) string {
	if m.PublishedAt == nil {
		return "in the outbox"
	}
	return "published " + fine(*m.PublishedAt)
}

// acknowledged says who has the event, and who not yet.
func acknowledged(m *operatorapi.Moment) (said []string) {
	for _, by := range value(m.AcknowledgedBy) {
		said = append(said, strings.TrimSpace("acknowledged by "+by.Subscriber+" "+dated("as of", by.At)))
	}
	for _, name := range value(m.ToldNotYet) {
		said = append(said, "not yet by "+name)
	}
	return said
}

func number(word string, n *int64) string {
	if n == nil || *n == 0 {
		return ""
	}
	return word + " " + strconv.FormatInt(*n, 10)
}
