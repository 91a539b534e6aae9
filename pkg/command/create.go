package command

import (
	"context"
	"fmt"
	"time"
	"unicode/utf8"

	"github.com/fenflow/fenflow/pkg/pay"
	"github.com/fenflow/fenflow/pkg/problem"
	"github.com/fenflow/fenflow/pkg/wechatpay"
)

const (
	// firstCheckAfter is the interval of the tight gear, whatever became of the
	// prepay call: nobody here knows the merchant's gear. In the relaxed one
	// the reconciler puts such an order off, without a call.
	firstCheckAfter = 10 * time.Second
	// credentialMargin: a credential with less time left is renewed rather than
	// given to a buyer. An h5_url lives five minutes in all, and is used at once.
	credentialMargin = 5 * time.Minute
	h5Margin         = time.Minute
	// minLifetime: WeChat Pay raises what is shorter, silently (doc 4012525167).
	minLifetime = time.Minute
)

// createOrder is order.create:
//
//  1. read the command;
//  2. find the order under its number, or put it into the books, with the
//     bytes of the prepay call, before WeChat Pay hears of it;
//  3. another order under the number is a conflict;
//  4. an order that needs nothing from WeChat Pay is answered as it stands;
//  5. otherwise WeChat Pay is called with the stored bytes.
func (s *Service) createOrder(ctx context.Context, cmd pay.Command) (ending, error) {
	credentials, known := s.Merchants.Credentials(cmd.MchID)
	wechat, reachable := s.Merchants.WeChat(cmd.MchID)
	if !known || !reachable {
		return failed(pay.CommandRefused, notConfigured(cmd.MchID)), nil
	}
	asked, bad := parse(cmd, credentials.Merchant)
	if bad != nil {
		return failed(pay.CommandRefused, bad), nil
	}
	// One at a time for each number: a second prepay call would take the
	// first caller's code_url out of use. (Of renewals, in all workers.)
	unlock, err := s.numbers.lock(ctx, cmd.MchID, cmd.OutTradeNo)
	if err != nil {
		return ending{}, err
	}
	defer unlock()
	order, fresh, end, err := s.findOrPlace(ctx, cmd, asked, wechat)
	if err != nil || end != nil {
		return orZero(end), err
	}
	if order.Digest != cmd.Digest {
		return failed(pay.CommandConflict, problem.Newf(problem.Conflict, "out_trade_no %s is taken by an order with other parameters", cmd.OutTradeNo)), nil
	}
	if end := s.asItStands(cmd, order); end != nil {
		return *end, nil
	}
	if order.State == pay.OrderAwaitingPayment {
		return s.renewAlone(ctx, call{wechat: wechat, order: order, deadline: cmd.Deadline})
	}
	return s.prepay(ctx, call{wechat: wechat, order: order, fresh: fresh, deadline: cmd.Deadline})
}

// findOrPlace gives the order under the number. fresh: this call made it, so
// WeChat Pay cannot know it yet from us.
func (s *Service) findOrPlace(ctx context.Context, cmd pay.Command, asked pay.Order, wechat WeChat) (order pay.Order, fresh bool, end *ending, err error) {
	order, found, err := s.Books.Order(ctx, cmd.MchID, cmd.OutTradeNo)
	switch {
	case err != nil:
		return order, false, nil, fmt.Errorf("look up order: %w", err)
	case found:
		return order, false, nil, nil
	case asked.ExpiresAt.Sub(cmd.ReceivedAt) <= minLifetime:
		end := failed(pay.CommandRefused, tooShort(asked, cmd))
		return order, false, &end, nil
	case s.tooLate(cmd):
		return order, false, expired("the command reached a worker after its deadline; WeChat Pay was not called"), nil
	}
	if bad := fitsProtocol(asked); bad != nil {
		end := failed(pay.CommandRefused, bad)
		return order, false, &end, nil
	}
	now := s.Now().UTC()
	asked.CreatedAt, asked.UpdatedAt, asked.NextCheckAt = now, now, now.Add(firstCheckAfter)
	asked.PrepayRequest, err = wechat.PrepayBody(asked, s.NotifyURL(cmd.MchID, asked.Protocol))
	switch {
	case wechatpay.ClassOf(err) == wechatpay.ClassConfig:
		end := failed(pay.CommandRefused, notConfigured(cmd.MchID))
		end.problem.Cause = err
		return order, false, &end, nil
	case err != nil:
		return order, false, nil, fmt.Errorf("make prepay request: %w", err)
	}
	order, fresh, events, err := s.Books.CreateOrder(ctx, asked)
	if err != nil {
		return order, false, nil, fmt.Errorf("create order: %w", err)
	}
	s.Relay.Hand(events)
	if !fresh {
		return order, false, nil, nil
	}
	order, err = s.takeEarlyPayment(ctx, order)
	return order, true, nil, err
}

// tooShort refuses a new order that hardly lives. The same body is right for an
// order that exists: the edge cannot tell, and leaves it to us.
func tooShort(asked pay.Order, cmd pay.Command) *problem.Error {
	return problem.InvalidFields(problem.Field{Field: "expires_at", Message: fmt.Sprintf("is %s; for a new order it must be more than %s after the request (%s)",
		asked.ExpiresAt.Format(time.RFC3339), minLifetime, cmd.ReceivedAt.UTC().Format(time.RFC3339))})
}

// fitsProtocol refuses what WeChat Pay would refuse of a new order made with the
// protocol that the merchant is configured for now. An order that exists keeps
// the one that it was made with.
func fitsProtocol(o pay.Order) *problem.Error {
	const maxAttachV2 = 127 // characters; v3 takes one more (WeChat Pay v2, unified order)
	if o.Protocol == pay.ProtocolV2 && utf8.RuneCountInString(o.Attach) > maxAttachV2 {
		return problem.InvalidFields(problem.Field{Field: "attach", Message: fmt.Sprintf("has more than %d characters, which is what protocol v2 takes", maxAttachV2)})
	}
	if o.Protocol == pay.ProtocolV2 && o.Client == pay.ClientH5 {
		if _, err := wechatpay.SceneV2(o.Scene); err != nil {
			return problem.InvalidFields(problem.Field{Field: "app_url", Message: err.Error()})
		}
	}
	return nil
}

// takeEarlyPayment settles payments that came before their order.
func (s *Service) takeEarlyPayment(ctx context.Context, order pay.Order) (pay.Order, error) {
	if s.retryLetters(ctx, order) == 0 {
		return order, nil
	}
	now, found, err := s.Books.Order(ctx, order.MchID, order.OutTradeNo)
	if err != nil || !found {
		return order, err
	}
	return now, nil
}

// asItStands answers an order for which WeChat Pay need not, or must not, be
// called; nil otherwise.
func (s *Service) asItStands(cmd pay.Command, order pay.Order) *ending {
	switch order.State {
	case pay.OrderPaid, pay.OrderClosed:
		return done(order, statusKnown)
	case pay.OrderFailed:
		return refusedBy(order)
	case pay.OrderAwaitingPayment:
		if s.live(order) || s.tooLate(cmd) || !order.ExpiresAt.After(s.Now()) {
			return done(order, statusKnown)
		}
	case pay.OrderCreated:
		switch {
		case !order.ExpiresAt.After(s.Now()): // a repeat could never end otherwise
			return done(order, statusKnown)
		case s.tooLate(cmd):
			// A run before this one may have called and died.
			return expired("the command was under way when its deadline passed, and WeChat Pay's answer is not known; repeat the same request with the same number")
		}
	}
	return nil
}

// live says whether a buyer can pay with the credential that we have.
func (s *Service) live(o pay.Order) bool {
	margin := credentialMargin
	if o.Client == pay.ClientH5 {
		margin = h5Margin
	}
	return !o.Credential.Zero() && o.Credential.ExpiresAt.After(s.Now().Add(margin))
}

func (s *Service) tooLate(cmd pay.Command) bool {
	return !cmd.Deadline.IsZero() && s.Now().After(cmd.Deadline)
}
