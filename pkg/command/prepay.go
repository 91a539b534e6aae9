package command

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"

	"github.com/fenflow/fenflow/pkg/pay"
	"github.com/fenflow/fenflow/pkg/problem"
	"github.com/fenflow/fenflow/pkg/wechatpay"
)

const (
	// maxTries: WeChat Pay asks for 2 to 3 repeats with the same parameters
	// before querying (WeChat Pay doc 4014959631). After that the shop repeats.
	maxTries   = 3
	firstPause = 300 * time.Millisecond // doubled after each try
)

// call is an order on its way to WeChat Pay.
type call struct {
	wechat   WeChat
	order    pay.Order
	fresh    bool // nothing was sent under this number before
	deadline time.Time
}

// prepay calls WeChat Pay with the stored bytes and books what it says.
//
// A refusal only counts if nothing under this number can have been accepted
// before it: after a call of unknown outcome, the order is asked about first.
func (s *Service) prepay(ctx context.Context, c call) (ending, error) {
	calling, cancel := s.untilDeadline(ctx, c.deadline)
	defer cancel()
	certain := c.fresh
	for try, pause := 1, firstPause; ; try, pause = try+1, 2*pause {
		credential, answer, err := c.wechat.Prepay(calling, c.order)
		s.count("prepay", err)
		if err == nil {
			return s.prepared(ctx, c.order, credential, answer)
		}
		switch class := wechatpay.ClassOf(err); {
		case ctx.Err() != nil:
			return ending{}, fmt.Errorf("prepay: %w", ctx.Err())
		case class == wechatpay.ClassFinal && certain:
			return s.refused(ctx, c.order, err)
		case class == wechatpay.ClassFinal, class == wechatpay.ClassQueryFirst:
			return s.ask(ctx, calling, c.wechat, c.order, err)
		case class == wechatpay.ClassConfig:
			return failed(pay.CommandUnavailable, problem.Wrap(problem.Unavailable, err, "WeChat Pay refuses this merchant's calls until an operator has put something right: "+nameOf(err)+"; then repeat with the same number")), nil
		}
		// No answer, and an answer of a fault, leave open whether it was carried out.
		certain = false
		if try == maxTries || !wait(calling, pause) {
			return unavailable(err), nil
		}
	}
}

// untilDeadline bounds calls by the command's deadline.
func (s *Service) untilDeadline(ctx context.Context, deadline time.Time) (context.Context, context.CancelFunc) {
	if deadline.IsZero() {
		return context.WithCancel(ctx)
	}
	return context.WithTimeout(ctx, deadline.Sub(s.Now()))
}

// prepared books the credential and answers with the order.
func (s *Service) prepared(ctx context.Context, o pay.Order, credential pay.Credential, answer wechatpay.Answer) (ending, error) {
	status := statusKnown
	if o.State == pay.OrderCreated {
		status = statusPlaced
	}
	return s.book(ctx, o, status, &answer, pay.Observation{
		Kind: pay.ObservedPrepared, Source: pay.SourceCommand, ObservedAt: answer.ReceivedAt, KeyID: answer.KeyID,
		MchID: o.MchID, OutTradeNo: o.OutTradeNo, AppID: o.AppID, Credential: credential,
	})
}

// refused books a final refusal. Such an answer is not signed, so it is not archived.
func (s *Service) refused(ctx context.Context, o pay.Order, refusal error) (ending, error) {
	obs := pay.Observation{
		Kind: pay.ObservedRefused, Source: pay.SourceCommand, ObservedAt: s.Now().UTC(),
		MchID: o.MchID, OutTradeNo: o.OutTradeNo, AppID: o.AppID, Code: "REFUSED",
	}
	var e *wechatpay.CallError
	if errors.As(refusal, &e) {
		obs.Reason = clip(e.Message)
		if e.Code != "" {
			obs.Code = e.Code
		}
	}
	return s.book(ctx, o, statusKnown, nil, obs)
}

// ask queries an order whose prepay call was refused in a way that proves
// nothing: it may be paid, closed, or another system's.
func (s *Service) ask(ctx, calling context.Context, wechat WeChat, o pay.Order, refusal error) (ending, error) {
	seen, err := s.look(ctx, calling, wechat, o)
	switch {
	case err != nil:
		return ending{}, err
	case wechatpay.IsNotExist(seen.unclear) && o.State == pay.OrderCreated:
		return s.refused(ctx, o, refusal)
	case seen.unclear != nil:
		return unavailable(seen.unclear), nil //nolint:nilerr // err is nil here
	case seen.order.State == pay.OrderFailed:
		return *refusedBy(seen.order), nil
	case !seen.order.State.Open():
		return *done(seen.order, statusKnown), nil
	}
	return failed(pay.CommandConflict, problem.Wrap(problem.NumberInUse, refusal, fmt.Sprintf("WeChat Pay knows out_trade_no %s with other parameters than this request's (%s)", o.OutTradeNo, nameOf(refusal)))), nil
}

// book settles one observation about an order and answers with the order.
func (s *Service) book(ctx context.Context, o pay.Order, status int, archive *wechatpay.Answer, obs pay.Observation) (ending, error) {
	o, err := s.settle(ctx, o, archive, obs)
	if err != nil {
		return ending{}, err
	}
	if o.State == pay.OrderFailed {
		return *refusedBy(o), nil
	}
	return *done(o, status), nil
}

// deliveryOf is an answer of WeChat Pay for the archive.
func deliveryOf(a wechatpay.Answer, o pay.Order) (pay.Delivery, error) {
	id, err := uuid.NewV7()
	if err != nil {
		return pay.Delivery{}, fmt.Errorf("make delivery id: %w", err)
	}
	return pay.Delivery{
		ID: pay.DeliveryID(id.String()), MchID: o.MchID, Kind: pay.DeliveryAnswer, ReceivedAt: a.ReceivedAt,
		Headers: a.Headers, Body: a.Body, KeyID: a.KeyID, OutTradeNo: o.OutTradeNo,
	}, nil
}

func (s *Service) count(api string, err error) {
	class := "ok"
	if err != nil {
		class = string(wechatpay.ClassOf(err))
	}
	s.metrics.calls.WithLabelValues(api, class).Inc()
}

// unavailable is an outcome that is not known. The order stays as it is and is
// asked about when its next_check_at comes.
func unavailable(err error) ending {
	return failed(pay.CommandUnavailable, problem.Wrap(problem.Unavailable, err, "WeChat Pay gave no clear answer in time; repeat the same request with the same number"))
}

// nameOf names a refusal for the shop: code and request id, nothing else.
func nameOf(err error) string {
	var e *wechatpay.CallError
	if !errors.As(err, &e) {
		return "no answer"
	}
	name := fmt.Sprintf("%d %s", e.Status, e.Code)
	if e.RequestID != "" {
		name += ", request id " + e.RequestID
	}
	return name
}

// wait pauses and says whether there is still time.
func wait(ctx context.Context, pause time.Duration) bool {
	timer := time.NewTimer(pause)
	defer timer.Stop()
	select {
	case <-timer.C:
		return ctx.Err() == nil
	case <-ctx.Done():
		return false
	}
}
