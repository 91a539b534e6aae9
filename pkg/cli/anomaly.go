package cli

import (
	"context"
	"encoding/json"
	"errors"
	"regexp"

	"github.com/spf13/cobra"

	"github.com/fenflow/fenflow/pkg/operatorapi"
	"github.com/fenflow/fenflow/pkg/pay"
	"github.com/fenflow/fenflow/pkg/problem"
)

func (c *commandLine) anomaly() *cobra.Command {
	return c.group("anomaly", "List, show and decide about money that does not fit its order", c.anomalyLs(), c.anomalyShow(), c.anomalyAccept(), c.anomalyRefund())
}

func (c *commandLine) anomalyLs() *cobra.Command {
	var list listing
	var mchid string
	var kind, state *choice
	ls := c.asks("ls", "List anomalies, the oldest first; without --state those that are open", cobra.NoArgs, func(ctx context.Context, api remote, _ []string) (answer, error) {
		got, err := read[operatorapi.Anomaly](ctx, &list, "anomalies", func(p page) (json.RawMessage, error) {
			return api.ask(ctx)(operatorapi.NewListAnomaliesRequest(api.base(), &operatorapi.ListAnomaliesParams{
				Mchid: given[string](mchid), Kind: given[operatorapi.AnomalyKind](kind.word), State: given[operatorapi.AnomalyState](state.word),
				Since: p.since, Limit: p.limit, Cursor: p.cursor,
			}))
		})
		if err != nil {
			return answer{}, err
		}
		return answer{document: got.document, text: c.anomaliesText(got)}, nil
	})
	list.flags(c, ls)
	ls.Flags().StringVar(&mchid, "mchid", "", "only of this merchant")
	kind = choose(ls, "kind", "only of this kind", pay.AnomalyKinds()...)
	state = choose(ls, "state", "only in this state", pay.AnomalyOpen, pay.AnomalyAccepted, pay.AnomalyRefunded)
	return ls
}

func (c *commandLine) anomaliesText(got listed[operatorapi.Anomaly]) string {
	if len(got.rows) == 0 {
		return "No anomaly is like that.\n"
	}
	var rows [][]cell
	for i := range got.rows {
		a := &got.rows[i]
		rows = append(rows, []cell{{a.TransactionID}, one(a.Kind), one(a.State), {amount(a.ActualFen, "")}, {
			"order " + a.OutTradeNo, "merchant " + a.Mchid, "expected " + amount(a.ExpectedFen, ""), "policy " + a.Policy, labelled("refund", a.OutRefundNo),
			decisionOf(a), instant(a.ObservedAt),
		}})
	}
	text := c.grid([]string{"TRANSACTION_ID", "KIND", "STATE", "CAME", "MORE"}, rows...)
	if got.more {
		text += thereIsMore
	}
	return text
}

// decisionOf says what was decided by whom; nothing, where nobody did.
func decisionOf(a *operatorapi.Anomaly) string {
	if value(a.Decision) == "" {
		return ""
	}
	return value(a.Decision) + " by " + value(a.DecidedBy)
}

// anomalyFlags say which anomaly of a payment is meant, where it has several.
type anomalyFlags struct {
	mchid, refundNo string
	kind            *choice
}

func (f *anomalyFlags) add(cmd *cobra.Command) {
	cmd.Flags().StringVar(&f.mchid, "mchid", "", "the merchant, where several have the number")
	cmd.Flags().StringVar(&f.refundNo, "out-refund-no", "", "of a refund_overrun, the refund that went over, where there are several")
	f.kind = choose(cmd, "kind", "which of the payment's anomalies, where it has several", pay.AnomalyKinds()...)
}

func (c *commandLine) anomalyShow() *cobra.Command {
	var which anomalyFlags
	show := c.asks("show TRANSACTION_ID", "Show an anomaly, and what accepting it or giving it back would do", cobra.ExactArgs(1), func(ctx context.Context, api remote, args []string) (answer, error) {
		id, err := theNumber(args[0])
		if err != nil {
			return answer{}, err
		}
		s, raw, err := document[operatorapi.AnomalyStory](api.ask(ctx)(operatorapi.NewGetAnomalyRequest(api.base(), id, &operatorapi.GetAnomalyParams{
			Mchid: given[string](which.mchid), Kind: given[operatorapi.AnomalyKind](which.kind.word), OutRefundNo: given[string](which.refundNo),
		})))
		if err != nil {
			return answer{}, noPayment(id, err)
		}
		return answer{document: raw, text: c.anomalyText(&s)}, nil
	})
	which.add(show)
	return show
}

// transactionShape is of WeChat Pay's own numbers, of now and of old.
var transactionShape = regexp.MustCompile(`^(4200.*|[0-9]{28})$`)

// noPayment says where a payment's own number is found, to whom another one was
// given.
func noPayment(number string, err error) error {
	var refused *refusal
	if errors.As(err, &refused) && refused.problem.Kind == problem.UnknownAnomaly && refused.problem.Detail == "" && !transactionShape.MatchString(number) {
		refused.problem.NextStep = "Anomalies are named by WeChat Pay's transaction_id: `fenflow order show " + plain(quoted(number)) + "` tells it."
	}
	return err
}

func (c *commandLine) anomalyText(s *operatorapi.AnomalyStory) string {
	a := &s.Anomaly
	rows := [][]cell{
		fact("anomaly", a.Kind, a.State, "policy "+a.Policy, labelled("refund", a.OutRefundNo), dated("seen", &a.ObservedAt)),
		fact("came", amount(a.ActualFen, s.Order.Currency), "expected "+amount(a.ExpectedFen, "")),
		decisionFact(a),
		fact("order", s.Order.OutTradeNo, "merchant "+s.Order.Mchid, string(s.Order.State), amount(s.Order.AmountFen, s.Order.Currency), labelled("paid by", s.Order.TransactionID)),
		paymentFact(&s.Payment, s.Order.Currency),
	}
	for i := range s.Refunds {
		rows = append(rows, refundFact(&s.Refunds[i]))
	}
	return c.facts(append(rows, choiceFact("accept", s.Accept), choiceFact("refund", s.Refund))...)
}

func decisionFact(a *operatorapi.Anomaly) []cell {
	return fact("decided", decisionOf(a), dated("on", a.DecidedAt), labelled("because", a.DecisionReason))
}

// choiceFact says what a decision would do; of one that is refused, why.
func choiceFact(name string, choice operatorapi.AnomalyChoice) []cell {
	if !choice.Possible {
		return fact("to "+name, "refused: "+choice.Detail)
	}
	return fact("to "+name, choice.Detail)
}
