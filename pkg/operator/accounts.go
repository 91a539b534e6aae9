package operator

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"time"

	"github.com/fenflow/fenflow/pkg/pay"
	"github.com/fenflow/fenflow/pkg/problem"
)

// Accounts finds buyers.
type Accounts interface {
	FindAccounts(ctx context.Context, id string, mchid pay.MchID) ([]pay.AccountMatch, error)
	Account(ctx context.Context, mchid pay.MchID, id pay.AccountID) (pay.Account, bool, error)
	OrdersOfAccount(ctx context.Context, mchid pay.MchID, id pay.AccountID, limit int) (pay.BuyersOrders, error)
}

const (
	ordersOfBuyer = 20 // a screen
	phoneShown    = 4  // digits: enough to compare with what a buyer says
)

type accountDocument struct {
	MchID       string             `json:"mchid"`
	AccountID   string             `json:"account_id"`
	FoundBy     string             `json:"found_by"`
	UnionID     string             `json:"unionid,omitempty"`
	Nickname    string             `json:"nickname,omitempty"`
	Phone       string             `json:"phone,omitempty"`
	Identities  []identityDocument `json:"identities"`
	Orders      []orderDocument    `json:"orders"`
	OthersSince time.Time          `json:"others_since,omitzero"`
	CreatedAt   time.Time          `json:"created_at"`
	UpdatedAt   time.Time          `json:"updated_at"`
}

type identityDocument struct {
	AppID  string    `json:"appid"`
	OpenID string    `json:"openid"`
	SeenAt time.Time `json:"seen_at"`
}

func (a *API) account(w http.ResponseWriter, c *call) error {
	id, mchid := pathValue(c.Request, "id"), c.query.mchid()
	if !isNumber(id) {
		c.query.bad("id", "must be 1 to %d visible ASCII characters", maxNumber)
	}
	if err := c.query.done(); err != nil {
		return err
	}
	matches, err := a.Books.FindAccounts(c.Context(), id, mchid)
	if err != nil {
		return fmt.Errorf("find accounts: %w", err)
	}
	match, err := oneBuyer(matches)
	if err != nil {
		return err
	}
	note(w, slog.String("mchid", string(match.MchID)), slog.String("account_id", string(match.ID)))
	account, there, err := a.Books.Account(c.Context(), match.MchID, match.ID)
	switch {
	case err != nil:
		return fmt.Errorf("read account: %w", err)
	case !there:
		return problem.New(problem.UnknownAccount, "the account was there a moment ago, and is not now")
	}
	orders, err := a.Books.OrdersOfAccount(c.Context(), account.MchID, account.ID, ordersOfBuyer)
	if err != nil {
		return fmt.Errorf("list a buyer's orders: %w", err)
	}
	return answer(w, accountOf(match.FoundBy, account, orders))
}

func oneBuyer(matches []pay.AccountMatch) (pay.AccountMatch, error) {
	switch len(matches) {
	case 0:
		return pay.AccountMatch{}, problem.New(problem.UnknownAccount, "")
	case 1:
		return matches[0], nil
	}
	named := each(matches, func(m pay.AccountMatch) string { return fmt.Sprintf("%s of merchant %s", m.ID, m.MchID) })
	return pay.AccountMatch{}, problem.New(problem.AmbiguousAccount, strings.Join(named, ", "))
}

func accountOf(foundBy string, a pay.Account, orders pay.BuyersOrders) accountDocument {
	return accountDocument{
		MchID: string(a.MchID), AccountID: string(a.ID), FoundBy: foundBy, UnionID: string(a.UnionID), Nickname: a.Nickname, Phone: hidden(a.Phone),
		Identities: each(a.Identities, func(i pay.Identity) identityDocument {
			return identityDocument{AppID: string(i.AppID), OpenID: string(i.OpenID), SeenAt: i.SeenAt}
		}),
		Orders: each(orders.Orders, orderOf), OthersSince: orders.OthersSince, CreatedAt: a.CreatedAt, UpdatedAt: a.UpdatedAt,
	}
}

// hidden keeps the last digits of a phone number, and how long it is.
func hidden(phone string) string {
	runes := []rune(phone)
	for i := range runes {
		if i < len(runes)-phoneShown || len(runes) <= phoneShown {
			runes[i] = '*'
		}
	}
	return string(runes)
}
