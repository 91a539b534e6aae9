package cli

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/fenflow/fenflow/pkg/operatorapi"
	"github.com/fenflow/fenflow/pkg/problem"
)

// theStory finds an order by any number that appears anywhere.
func (r remote) theStory(ctx context.Context, text, mchid string) (operatorapi.Story, json.RawMessage, error) {
	number, err := theNumber(text)
	if err != nil {
		return operatorapi.Story{}, nil, err
	}
	return document[operatorapi.Story](r.ask(ctx)(operatorapi.NewGetStoryRequest(r.base(), number, &operatorapi.GetStoryParams{Mchid: given[string](mchid)})))
}

func (c *commandLine) orderCheck() *cobra.Command {
	var mchid string
	check := c.asks("check NUMBER", "Ask WeChat Pay about an order now, by any number", cobra.ExactArgs(1), func(ctx context.Context, api remote, args []string) (answer, error) {
		s, _, err := api.theStory(ctx, args[0], mchid)
		if err != nil {
			return answer{}, err
		}
		checked, raw, err := document[operatorapi.OrderCheck](api.ask(ctx)(operatorapi.NewCheckOrderRequest(api.base(), s.Order.OutTradeNo, &operatorapi.CheckOrderParams{Mchid: &s.Order.Mchid})))
		if err != nil {
			return answer{}, err
		}
		a := answer{document: raw, text: orderText(&checked.Order)}
		if !checked.Certain {
			a.text += "WeChat Pay did not answer in time; it is asked again at once, by itself. Run the same command again.\n"
			a.exit = problem.ExitUnavailable
		}
		return a, nil
	})
	check.Long = "Ask WeChat Pay about an order now, by any number that appears anywhere, and print the order as it stands then. A paid or closed\norder needs no question.\n\nExit codes: 0 it stands so, 7 WeChat Pay did not answer in time"
	check.Flags().StringVar(&mchid, "mchid", "", "the merchant, where several use the number")
	return check
}

func (c *commandLine) orderClose() *cobra.Command {
	var mchid, reason string
	cmd := c.asks("close NUMBER", "Close an order that nobody is to pay any more, by any number, for a reason", cobra.ExactArgs(1), func(ctx context.Context, api remote, args []string) (answer, error) {
		why, err := theReason(reason)
		if err != nil {
			return answer{}, err
		}
		s, _, err := api.theStory(ctx, args[0], mchid)
		if err != nil {
			return answer{}, err
		}
		o, raw, err := document[operatorapi.Order](api.ask(ctx)(operatorapi.NewCloseOrderRequest(api.base(), s.Order.OutTradeNo, &operatorapi.CloseOrderParams{Mchid: &s.Order.Mchid}, operatorapi.Reason{Reason: why})))
		if err != nil {
			return answer{}, err
		}
		return answer{document: raw, text: orderText(&o)}, nil
	})
	cmd.Long = "Close an order that nobody is to pay any more, by any number that appears anywhere, for a reason. Only WeChat Pay's verified\nword closes an order; a paid one is not closed"
	cmd.Flags().StringVar(&mchid, "mchid", "", "the merchant, where several use the number")
	because(cmd, &reason)
	return cmd
}

func orderText(o *operatorapi.Order) string {
	text := fmt.Sprintf("Order %s of %s, merchant %s, is %s", plain(o.OutTradeNo), both(o.AmountFen, o.Currency), plain(o.Mchid), plain(string(o.State)))
	if o.TransactionID != nil {
		text += ", by payment " + plain(*o.TransactionID)
	}
	if code := value(o.FailureCode); code != "" {
		text += " (" + plain(code) + ")"
	}
	return text + ".\n"
}
