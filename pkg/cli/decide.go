package cli

import (
	"context"
	"fmt"
	"net/http"
	"strings"

	"github.com/spf13/cobra"

	"github.com/fenflow/fenflow/pkg/operatorapi"
)

func (c *commandLine) anomalyAccept() *cobra.Command {
	return c.decides("accept TRANSACTION_ID", "Keep money that does not fit: it pays its order if nothing else did", "Accept",
		func(server, id, mchid string, body operatorapi.AnomalyDecision) (*http.Request, error) {
			return operatorapi.NewAcceptAnomalyRequest(server, id, &operatorapi.AcceptAnomalyParams{Mchid: given[string](mchid)}, body)
		})
}

func (c *commandLine) anomalyRefund() *cobra.Command {
	return c.decides("refund TRANSACTION_ID", "Give money that does not fit back, whatever is left of it", "Give back whatever is left of",
		func(server, id, mchid string, body operatorapi.AnomalyDecision) (*http.Request, error) {
			return operatorapi.NewRefundAnomalyRequest(server, id, &operatorapi.RefundAnomalyParams{Mchid: given[string](mchid)}, body)
		})
}

// decides is a command that decides about an anomaly. Running it again changes
// nothing.
func (c *commandLine) decides(use, short, does string, request func(server, id, mchid string, body operatorapi.AnomalyDecision) (*http.Request, error)) *cobra.Command {
	var which anomalyFlags
	var reason string
	var yes bool
	decide := c.asks(use, short, cobra.ExactArgs(1), func(ctx context.Context, api remote, args []string) (answer, error) {
		id, err := theNumber(args[0])
		if err != nil {
			return answer{}, err
		}
		why, err := theReason(reason)
		if err != nil {
			return answer{}, err
		}
		if meant, err := c.sure(ctx, does+" "+moneyNamed(id, &which), yes); err != nil || !meant {
			return declined(), err
		}
		d, raw, err := document[operatorapi.Decision](api.ask(ctx)(request(api.base(), id, which.mchid, operatorapi.AnomalyDecision{
			Kind: given[operatorapi.AnomalyKind](which.kind.word), OutRefundNo: given[string](which.refundNo), Reason: why,
		})))
		if err != nil {
			return answer{}, noPayment(id, err)
		}
		return answer{document: raw, text: decisionText(&d)}, nil
	})
	because(decide, &reason)
	which.add(decide)
	decide.Flags().BoolVar(&yes, "yes", false, "do not ask whether it is meant")
	return decide
}

func moneyNamed(id string, which *anomalyFlags) string {
	return strings.Join(cell{
		"payment " + id, labelled("as", &which.kind.word), labelled("of refund", &which.refundNo), labelled("of merchant", &which.mchid),
	}.said(), ", ")
}

// decisionText says whose decision stands: it may be an earlier one.
func decisionText(d *operatorapi.Decision) string {
	a := &d.Anomaly
	said := fmt.Sprintf("The %s of payment %s is %s", plain(a.Kind), plain(a.TransactionID), plain(a.State))
	if d.Refund != nil {
		said += " until all of it is back"
	}
	if by := value(a.DecidedBy); by != "" {
		said += ", as " + plain(by) + " decided" + dated(" on", a.DecidedAt)
	}
	said += fmt.Sprintf(".\nOrder %s is %s.\n", plain(d.Order.OutTradeNo), plain(strings.TrimSpace(string(d.Order.State)+" "+labelled("by payment", d.Order.TransactionID))))
	if r := d.Refund; r != nil {
		said += fmt.Sprintf("Refund %s of %s is %s; `fenflow order show %s` follows it.\n", plain(r.OutRefundNo), amount(r.AmountFen, r.Currency), plain(r.State), plain(quoted(d.Order.OutTradeNo)))
	}
	return said
}
