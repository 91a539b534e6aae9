package command

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/fenflow/fenflow/pkg/pay"
	"github.com/fenflow/fenflow/pkg/wechatpay"
)

const (
	// tokenTries and tokenPause: a bucket holds a fifth of a second of its rate,
	// so that whoever finds it empty has a chance within moments.
	tokenTries = 5
	tokenPause = 50 * time.Millisecond
	// slowDown: 429 halves a budget for so long.
	slowDown = time.Minute
)

// errNoToken: the calls of this kind that the merchant may make are used up for
// the moment. Nothing was sent.
var errNoToken = errors.New("the merchant's budget of such calls is used up for the moment")

// Budgets are how many calls a second may be made for one merchant, over all
// processes together.
type Budgets struct {
	OrderQuery  int
	OrderClose  int
	RefundQuery int // of Recover, and of giving up
}

func (b Budgets) of(api pay.API) pay.Budget {
	switch api {
	case pay.APIOrderClose:
		return pay.Budget{API: api, PerSecond: b.OrderClose}
	case pay.APIRefundQuery:
		return pay.Budget{API: api, PerSecond: b.RefundQuery}
	default:
		return pay.Budget{API: api, PerSecond: b.OrderQuery}
	}
}

// query asks WeChat Pay about an order, under a token of the merchant's budget.
func (s *Service) query(ctx context.Context, wechat WeChat, o pay.Order) (answer wechatpay.OrderAnswer, err error) {
	err = s.spend(ctx, o.MchID, pay.APIOrderQuery, "query", func() (err error) {
		answer, err = wechat.QueryOrder(ctx, o)
		return err
	})
	return answer, err
}

// callClose asks WeChat Pay to close an order, under a token of the merchant's
// budget. That it was accepted proves nothing.
func (s *Service) callClose(ctx context.Context, wechat WeChat, o pay.Order) error {
	return s.spend(ctx, o.MchID, pay.APIOrderClose, "close", func() error {
		_, err := wechat.CloseOrder(ctx, o)
		return err
	})
}

// spend makes one call if there is a token for it. Without one, or without a
// database to ask for it, the outcome is as unknown as after a time-out.
func (s *Service) spend(ctx context.Context, mchid pay.MchID, api pay.API, name string, call func() error) error {
	budget := s.Budgets.of(api)
	if err := s.token(ctx, mchid, budget); err != nil {
		s.metrics.calls.WithLabelValues(name, "not_sent").Inc()
		return err
	}
	err := call()
	s.count(name, err)
	if wechatpay.IsFrequencyLimited(err) {
		if halveErr := s.Books.HalveBudget(context.WithoutCancel(ctx), mchid, budget, slowDown); halveErr != nil {
			s.Log.WarnContext(ctx, "WeChat Pay wants fewer calls, and the budget could not be halved", "mchid", mchid, "api", api, "error", halveErr)
		}
	}
	return err
}

func (s *Service) token(ctx context.Context, mchid pay.MchID, budget pay.Budget) error {
	for try := 1; ; try++ {
		taken, err := s.Books.TakeToken(ctx, mchid, budget)
		switch {
		case err != nil:
			return fmt.Errorf("take a token: %w", err)
		case taken:
			return nil
		case try == tokenTries || !wait(ctx, tokenPause):
			return errNoToken
		}
	}
}

// look is what a query found out about an order.
type look struct {
	order   pay.Order           // as it stands after it
	said    pay.ObservationKind // paid, closed or open; empty: nothing certain
	unclear error               // why nothing is certain
}

// look asks WeChat Pay and settles what it says.
func (s *Service) look(ctx, calling context.Context, wechat WeChat, o pay.Order) (look, error) {
	found, err := s.query(calling, wechat, o)
	switch {
	case ctx.Err() != nil:
		return look{}, fmt.Errorf("query order: %w", ctx.Err())
	case err != nil:
		return look{order: o, unclear: err}, nil //nolint:nilerr // it is what was found out
	}
	obs, _ := found.Observation(pay.SourceQuery)
	var archive *wechatpay.Answer
	if obs.Kind != pay.ObservedOpen { // otherwise it moves nothing
		archive = &found.Answer
	}
	order, err := s.settle(ctx, o, archive, obs)
	return look{order: order, said: obs.Kind}, err
}

// settle books one observation about an order and gives the order as it stands
// then, with the answer for the archive where it moves something.
func (s *Service) settle(ctx context.Context, o pay.Order, archive *wechatpay.Answer, obs pay.Observation) (pay.Order, error) {
	entry := pay.Entry{Observation: &obs}
	if archive != nil {
		delivery, err := deliveryOf(*archive, o)
		if err != nil {
			return o, err
		}
		entry.Delivery, obs.DeliveryID = &delivery, delivery.ID
	}
	settled, err := s.Books.Settle(ctx, []pay.Entry{entry}, s.policiesOf)
	if err != nil {
		return o, fmt.Errorf("settle %s: %w", obs.Kind, err)
	}
	s.Relay.Hand(settled.Events)
	if len(settled.Results) != 1 || settled.Results[0].Order == nil {
		return o, nil
	}
	if obs.Kind == pay.ObservedPaid && settled.Results[0].Outcome == pay.OutcomeApplied {
		s.retryLetters(ctx, o)
	}
	return *settled.Results[0].Order, nil
}

// retryLetters settles what waited for this order or its payment, and says how
// many letters that were. The sweep takes what fails here.
func (s *Service) retryLetters(ctx context.Context, o pay.Order) int {
	retried, err := s.Letters.Retry(ctx, o.MchID, o.OutTradeNo)
	if err != nil {
		s.Log.WarnContext(ctx, "waiting letters of an order are left to the sweep", "mchid", o.MchID, "out_trade_no", o.OutTradeNo, "error", err)
	}
	return retried
}
