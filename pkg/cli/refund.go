package cli

import (
	"context"
	"encoding/json"
	"strconv"

	"github.com/spf13/cobra"

	"github.com/fenflow/fenflow/pkg/operatorapi"
	"github.com/fenflow/fenflow/pkg/pay"
)

func (c *commandLine) refund() *cobra.Command {
	return c.group("refund", "List and show refunds, give money back, and set right what waits", c.refundLs(), c.refundShow(), c.refundCreate(), c.refundRetry(), c.refundAbnormal(), c.refundGiveUp())
}

func (c *commandLine) refundLs() *cobra.Command {
	var list listing
	var mchid string
	var state *choice
	ls := c.asks("ls", "List refunds, the unresolved ones first, and of both kinds the newest first", cobra.NoArgs, func(ctx context.Context, api remote, _ []string) (answer, error) {
		got, err := read[operatorapi.RefundRow](ctx, &list, "refunds", func(p page) (json.RawMessage, error) {
			return api.ask(ctx)(operatorapi.NewListRefundsRequest(api.base(), &operatorapi.ListRefundsParams{
				Mchid: given[string](mchid), State: given[operatorapi.RefundState](state.word),
				Since: p.since, Limit: p.limit, Cursor: p.cursor,
			}))
		})
		if err != nil {
			return answer{}, err
		}
		return answer{document: got.document, text: c.refundsText(got)}, nil
	})
	list.flags(c, ls)
	ls.Flags().StringVar(&mchid, "mchid", "", "only of this merchant")
	state = choose(ls, "state", "only in this state", pay.RefundRequested, pay.RefundProcessing, pay.RefundSucceeded, pay.RefundClosed, pay.RefundAbnormal, pay.RefundFailed)
	return ls
}

func (c *commandLine) refundsText(got listed[operatorapi.RefundRow]) string {
	if len(got.rows) == 0 {
		return "No refund is like that.\n"
	}
	var rows [][]cell
	for i := range got.rows {
		r := &got.rows[i]
		rows = append(rows, []cell{{instant(r.CreatedAt)}, {r.Mchid}, {r.OutRefundNo}, one(r.State), {amount(r.AmountFen, r.Currency)}, {r.OutTradeNo, value(r.FailureCode)}})
	}
	text := c.grid([]string{"ASKED FOR", "MCHID", "OUT_REFUND_NO", "STATE", "AMOUNT", "ORDER"}, rows...)
	if got.more {
		text += thereIsMore
	}
	return text
}

func (c *commandLine) refundShow() *cobra.Command {
	var mchid string
	show := c.asks("show NUMBER", "Show everything about one refund, by its out_refund_no or refund_id", cobra.ExactArgs(1), func(ctx context.Context, api remote, args []string) (answer, error) {
		s, raw, err := api.theRefund(ctx, args[0], mchid)
		if err != nil {
			return answer{}, err
		}
		return answer{document: raw, text: c.refundText(&s)}, nil
	})
	refundMchid(show, &mchid)
	return show
}

func refundMchid(cmd *cobra.Command, mchid *string) {
	cmd.Flags().StringVar(mchid, "mchid", "", "the merchant, where several use the number")
}

func (r remote) theRefund(ctx context.Context, text, mchid string) (operatorapi.RefundStory, json.RawMessage, error) {
	number, err := theNumber(text)
	if err != nil {
		return operatorapi.RefundStory{}, nil, err
	}
	return document[operatorapi.RefundStory](r.ask(ctx)(operatorapi.NewGetRefundRequest(r.base(), number, &operatorapi.GetRefundParams{Mchid: given[string](mchid)})))
}

func (c *commandLine) refundText(s *operatorapi.RefundStory) string {
	said := c.facts(refundFacts(s)...)
	if len(s.Attempts) > 0 {
		var rows [][]cell
		for i := range s.Attempts {
			a := &s.Attempts[i]
			held := s.Next != nil && value(s.Next.Held) && a.Number == s.AttemptsMade
			rows = append(rows, attemptRow(a, held))
		}
		said += "\n" + c.grid([]string{"ATTEMPT", "UTC", "OUTCOME", "MORE"}, rows...)
	}
	var rows [][]cell
	for i := range s.Timeline {
		m := &s.Timeline[i]
		rows = append(rows, []cell{{fine(m.At)}, one(m.Kind), {m.What}, happened(m)})
	}
	if len(rows) > 0 {
		said += "\n" + c.grid([]string{"UTC", "KIND", "WHAT", "MORE"}, rows...)
	}
	return said
}

func refundFacts(s *operatorapi.RefundStory) [][]cell {
	r := &s.Refund
	found := ""
	if s.FoundBy != operatorapi.FoundByOutRefundNo {
		found = "its " + string(s.FoundBy)
	}
	rounds, made := "", ""
	if r.AbnormalRounds > 0 {
		rounds = counted(r.AbnormalRounds, "time") + " abnormal"
	}
	if s.AttemptsMade > 0 {
		made = counted(s.AttemptsMade, "call")
		if s.AttemptsMade > len(s.Attempts) {
			made += ", the latest " + strconv.Itoa(len(s.Attempts)) + " below"
		}
	}
	rows := [][]cell{
		fact("refund", r.OutRefundNo, "merchant "+r.Mchid),
		fact("found by", found),
		fact("state", string(r.State), "asked for by "+askers()[string(r.Origin)], rounds),
		fact("amount", both(r.AmountFen, r.Currency)),
		fact("told buyer", value(r.BuyerReason)),
		fact("order", s.Order.OutTradeNo, string(s.Order.State), amount(s.Order.AmountFen, s.Order.Currency)),
	}
	if s.Payment != nil {
		rows = append(rows, paymentFact(s.Payment, r.Currency))
	}
	rows = append(rows,
		fact("refund_id", value(r.RefundID)),
		fact("dates", dated("asked for", &r.CreatedAt), dated("succeeded", r.SucceededAt)),
		fact("went to", value(r.ReceivedAccount)),
		fact("failure", value(r.FailureCode), value(r.FailureReason)),
		fact("sent by", made),
	)
	if s.Next != nil {
		rows = append(rows, fact("next", nextCall(s.Next), s.Next.Why))
	}
	return rows
}

// askers are the origins as people say them.
func askers() map[string]string {
	return map[string]string{
		string(pay.RefundByCommand): "the shop", string(pay.RefundByPolicy): "policy", string(pay.RefundByOperator): "an operator", string(pay.RefundByPlatform): "somebody in the merchant platform",
	}
}

func nextCall(n *operatorapi.RefundNext) string {
	word := map[string]string{string(pay.APIRefund): "sent", string(pay.APIRefundQuery): "asked about", string(pay.APIRefundAbnormal): "driven on"}[string(n.Call)]
	if value(n.Held) {
		return "at this moment: " + word
	}
	return "to be " + word + " at " + instant(n.At)
}

// attemptRow tells of a call; held: somebody is at the refund, and may be making it.
func attemptRow(a *operatorapi.Attempt, held bool) []cell {
	more := cell{value(a.Code), labelled("request id", a.RequestID)}
	if a.Status != nil {
		more = append(cell{"HTTP " + strconv.Itoa(*a.Status)}, more...)
	}
	switch {
	case a.FinishedAt == nil && held:
		more = append(more, "under way")
	case a.FinishedAt == nil:
		more = append(more, "nobody came back from it")
	}
	return []cell{{strconv.Itoa(a.Number)}, {fine(a.StartedAt)}, {a.Outcome}, more}
}
