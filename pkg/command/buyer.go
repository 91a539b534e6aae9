package command

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/fenflow/fenflow/pkg/pay"
	"github.com/fenflow/fenflow/pkg/problem"
)

// Sessions say whose a session is, or why it counts for nothing.
type Sessions interface {
	Verify(token string) (pay.Buyer, error)
}

// BuyersOrders find an order if it is this buyer's, and else say that there is none.
type BuyersOrders interface {
	BuyersOrder(ctx context.Context, who pay.Buyer, no pay.OutTradeNo) (pay.Order, bool, error)
}

// What buyers ask for, as metric labels.
const (
	actBuyersOrder = "buyers_order"
	actBuyersCheck = "buyers_check"
	actBuyersPay   = "buyers_pay"
)

// buyersQuestion is what the edge passes on from a buyer's page. It is believed in
// nothing but what the session in it proves.
type buyersQuestion struct {
	Session     string `json:"session"`
	OutTradeNo  string `json:"out_trade_no"`
	RedirectURL string `json:"redirect_url"`
}

// buyersOrderWire is what a buyer's page may see of an order.
type buyersOrderWire struct {
	OutTradeNo  string     `json:"out_trade_no"`
	State       string     `json:"state"`
	AmountFen   int64      `json:"amount_fen"`
	Currency    string     `json:"currency"`
	Description string     `json:"description"`
	Client      string     `json:"client"`
	CreatedAt   time.Time  `json:"created_at"`
	ExpiresAt   time.Time  `json:"expires_at"`
	PaidAt      *time.Time `json:"paid_at,omitempty"`
	Late        bool       `json:"late"`
	Payable     bool       `json:"payable"`
}

// WeChatOrder answers {"session","out_trade_no"} with the buyer's order as it stands.
func (s *Service) WeChatOrder(ctx context.Context, question []byte) ([]byte, error) {
	_, order, err := s.ofBuyer(ctx, question)
	if err != nil {
		return s.refuseBuyer(ctx, actBuyersOrder, order, err)
	}
	return s.answerBuyer(actBuyersOrder, http.StatusOK, order)
}

// WeChatCheck answers {"session","out_trade_no"} of a buyer who says "I have paid"
// with the order as it stands after asking WeChat Pay, as ActCheck does for shops.
func (s *Service) WeChatCheck(ctx context.Context, question []byte) ([]byte, error) {
	_, order, err := s.ofBuyer(ctx, question)
	if err != nil {
		return s.refuseBuyer(ctx, actBuyersCheck, order, err)
	}
	now, status, bad := s.check(ctx, order.MchID, order.OutTradeNo)
	if bad != nil {
		return s.refuseBuyer(ctx, actBuyersCheck, order, bad)
	}
	return s.answerBuyer(actBuyersCheck, status, now)
}

// ofBuyer reads a question and finds the order, if it is the asker's. An order of
// somebody else is not there: the answer tells nothing of it.
func (s *Service) ofBuyer(ctx context.Context, question []byte) (buyersQuestion, pay.Order, error) {
	var q buyersQuestion
	if err := json.Unmarshal(question, &q); err != nil {
		return q, pay.Order{}, problem.Wrap(problem.Malformed, errors.New("a buyer's question does not parse"), "the request cannot be read")
	}
	who, err := s.Sessions.Verify(q.Session)
	if err != nil {
		return q, pay.Order{}, sessionRejected(err)
	}
	no, err := pay.ParseOutTradeNo(q.OutTradeNo)
	if err != nil {
		return q, pay.Order{}, noOrderOfTheirs(q.OutTradeNo)
	}
	order, found, err := s.Buyers.BuyersOrder(ctx, who, no)
	switch {
	case err != nil:
		return q, pay.Order{MchID: who.MchID, OutTradeNo: no}, s.fault(err)
	case !found || order.MchID != who.MchID:
		return q, pay.Order{MchID: who.MchID, OutTradeNo: no}, noOrderOfTheirs(q.OutTradeNo)
	}
	return q, order, nil
}

// sessionRejected lets a problem that names the reason through.
func sessionRejected(err error) error {
	var known *problem.Error
	if errors.As(err, &known) {
		return known
	}
	return problem.Wrap(problem.SessionRejected, err, "")
}

func noOrderOfTheirs(no string) *problem.Error {
	p := problem.Newf(problem.NotFound, "there is no order %s of this buyer", clip(no))
	p.NextStep = "Compare the number, and log in as whoever the order was placed for."
	return p
}

func (s *Service) answerBuyer(act string, status int, o pay.Order) ([]byte, error) {
	s.metrics.acted(act, status)
	return answerJSON(status, buyersOrderWire{
		OutTradeNo: string(o.OutTradeNo), State: string(o.State), AmountFen: int64(o.Amount), Currency: o.Currency,
		Description: o.Description, Client: string(o.Client), CreatedAt: o.CreatedAt.UTC(), ExpiresAt: o.ExpiresAt.UTC(),
		PaidAt: instant(o.PaidAt), Late: o.Late, Payable: s.unpayable(o) == nil,
	})
}

// refuseBuyer answers what is not to be had. Faults of ours are told to the log.
func (s *Service) refuseBuyer(ctx context.Context, act string, about pay.Order, err error) ([]byte, error) {
	var p *problem.Error
	if !errors.As(err, &p) {
		p = problem.Wrap(problem.Internal, err, "fenflow could not do it")
	}
	return s.refuseAct(ctx, act, p, "mchid", about.MchID, "out_trade_no", about.OutTradeNo)
}

// unpayable says why an order cannot be paid now; nil: it can.
func (s *Service) unpayable(o pay.Order) *problem.Error {
	switch {
	case o.State == pay.OrderPaid:
		return problem.Newf(problem.PaidAlready, "order %s is paid", o.OutTradeNo)
	case o.State == pay.OrderClosed:
		return problem.Newf(problem.OrderOver, "order %s is closed", o.OutTradeNo)
	case o.State == pay.OrderFailed:
		return problem.Newf(problem.OrderOver, "WeChat Pay refused order %s", o.OutTradeNo)
	case !o.ExpiresAt.After(s.Now()):
		return problem.Newf(problem.OrderRanOut, "order %s could be paid until %s", o.OutTradeNo, o.ExpiresAt.UTC().Format(time.RFC3339))
	case o.State == pay.OrderCreated:
		return problem.Newf(problem.NotPayableYet, "WeChat Pay has given nothing yet to pay order %s with", o.OutTradeNo)
	}
	return nil
}

// mayLeadBack checks where a buyer is to be led after paying: the app's own pages.
func (s *Service) mayLeadBack(o pay.Order, page string) error {
	switch {
	case page == "":
		return nil
	case o.Client != pay.ClientH5:
		return problem.InvalidFields(problem.Field{Field: "redirect_url", Message: fmt.Sprintf("is given; only client h5 has it, not %s", o.Client)})
	}
	credentials, known := s.Merchants.Credentials(o.MchID)
	if !known {
		return notConfigured(o.MchID)
	}
	for _, app := range credentials.Merchant.Apps {
		if app.AppID != o.AppID {
			continue
		}
		if err := app.MayReturnTo(page); err != nil {
			return problem.New(problem.ReturnRefused, "redirect_url is refused: "+err.Error())
		}
		return nil
	}
	return problem.Newf(problem.ReturnRefused, "redirect_url is refused: app %s is not configured any more", o.AppID)
}
