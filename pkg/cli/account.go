package cli

import (
	"context"
	"strings"

	"github.com/spf13/cobra"

	"github.com/fenflow/fenflow/pkg/operatorapi"
)

func (c *commandLine) account() *cobra.Command {
	return c.group("account", "Buyers and what they bought", c.accountShow())
}

func (c *commandLine) accountShow() *cobra.Command {
	var mchid string
	show := c.asks("show ID", "Show a buyer and their newest orders, by an account id, openid or unionid", cobra.ExactArgs(1), func(ctx context.Context, api remote, args []string) (answer, error) {
		b, raw, err := document[operatorapi.BuyerAccount](api.ask(ctx)(operatorapi.NewGetAccountRequest(api.base(), strings.TrimSpace(args[0]), &operatorapi.GetAccountParams{
			Mchid: given[string](mchid),
		})))
		if err != nil {
			return answer{}, err
		}
		return answer{document: raw, text: c.accountText(b)}, nil
	})
	show.Long = "Show a buyer: the account, what each app calls them, and the 20 newest orders that they placed or paid.\n" +
		"The id is an account id, an openid or a unionid. Of a phone number the last four digits are shown."
	show.Flags().StringVar(&mchid, "mchid", "", "the merchant, where several know the id")
	return show
}

func (c *commandLine) accountText(b operatorapi.BuyerAccount) string {
	merged := ""
	if b.FoundBy == operatorapi.MergedAccountID {
		merged = "the id that was asked for was merged into it"
	}
	rows := [][]cell{
		fact("account", b.AccountID, "merchant "+b.Mchid, merged),
		fact("nickname", value(b.Nickname)),
		fact("phone", value(b.Phone)),
		fact("unionid", value(b.Unionid)),
		fact("dates", dated("first seen", &b.CreatedAt), dated("profile told", &b.UpdatedAt)),
	}
	for _, i := range b.Identities {
		rows = append(rows, fact("openid", i.Openid, "of "+i.Appid, dated("last login", &i.SeenAt)))
	}
	said := c.facts(rows...) + "\n"
	if len(b.Orders) == 0 {
		said += "No orders.\n"
	} else {
		said += c.ordersText(listed[operatorapi.Order]{rows: b.Orders})
	}
	if b.OthersSince != nil {
		said += "Orders that they have not paid are shown if placed since " + instant(*b.OthersSince) + ".\n"
	}
	return said
}
