package recovery

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
	// askTimeout bounds one question (the client's own is 10 s).
	askTimeout = 10 * time.Second
	tokenPause = 50 * time.Millisecond
)

// askPayment asks WeChat Pay about an order for a payment that was told of, and
// settles its word.
func (p *page) askPayment(ctx context.Context, key pay.OrderKey, f fact) error {
	o := p.book(key).Order
	if f.Fact == pay.FactOrderPaid && o.TransactionID != "" {
		p.trouble(key, "", fmt.Sprintf("subscribers were told that payment %s paid it, and by the books %s did", f.transaction(), o.TransactionID))
		return nil
	}
	var answer wechatpay.OrderAnswer
	err := p.ask(ctx, key.MchID, pay.Budget{API: pay.APIOrderQuery, PerSecond: p.Budgets.OrderQuery}, func(ctx context.Context, w WeChat) (err error) {
		answer, err = w.QueryOrder(ctx, o)
		return err
	})
	if err != nil {
		return p.unanswered(key, "", err)
	}
	obs, _ := answer.Observation(pay.SourceQuery)
	if obs.Kind != pay.ObservedPaid || obs.TransactionID != f.transaction() {
		if p.ending { // before that, its notification may be still to come
			p.trouble(key, "", fmt.Sprintf("subscribers were told of payment %s, and WeChat Pay says %s %s", f.transaction(), answer.State, obs.TransactionID))
		}
		return nil
	}
	return p.settleAnswer(ctx, key, obs, answer.Answer)
}

// askRefund asks WeChat Pay where a refund stands, and settles its word.
func (p *page) askRefund(ctx context.Context, key pay.OrderKey, f fact) error {
	o := p.book(key).Order
	var answer wechatpay.RefundAnswer
	err := p.ask(ctx, key.MchID, pay.Budget{API: pay.APIRefundQuery, PerSecond: p.Budgets.RefundQuery}, func(ctx context.Context, w WeChat) (err error) {
		answer, err = w.QueryRefund(ctx, wechatpay.RefundQuery{Protocol: o.Protocol, AppID: o.AppID, OutRefundNo: f.refund()})
		return err
	})
	if err != nil {
		return p.unanswered(key, f.refund(), err)
	}
	return p.settleAnswer(ctx, key, answer.Observation(key.MchID, pay.SourceQuery), answer.Answer)
}

func (p *page) settleAnswer(ctx context.Context, key pay.OrderKey, obs pay.Observation, a wechatpay.Answer) error {
	id, err := uuid.NewV7()
	if err != nil {
		return fmt.Errorf("make delivery id: %w", err)
	}
	d := pay.Delivery{
		ID: pay.DeliveryID(id.String()), MchID: key.MchID, Kind: pay.DeliveryAnswer, ReceivedAt: a.ReceivedAt,
		Headers: a.Headers, Body: a.Body, KeyID: a.KeyID, OutTradeNo: key.OutTradeNo, TransactionID: obs.TransactionID,
	}
	obs.DeliveryID = d.ID
	return p.settle(ctx, key, pay.Entry{Delivery: &d, Observation: &obs})
}

// errUnreachable: a merchant that is not configured, or has no key to sign with.
var errUnreachable = errors.New("the merchant is not configured, or has no key to sign with")

// ask asks one question, with a token of the merchant's budget.
func (p *page) ask(ctx context.Context, mchid pay.MchID, b pay.Budget, question func(context.Context, WeChat) error) error {
	wechat, reachable := p.Merchants.WeChat(mchid)
	if !reachable {
		return errUnreachable
	}
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	for {
		taken, err := p.Books.TakeToken(ctx, mchid, b)
		if err != nil {
			return fmt.Errorf("take a token: %w", err)
		}
		if taken {
			p.note(func(r *pay.Recovery) { r.Counts.Asked++ })
			return question(ctx, wechat)
		}
		timer := time.NewTimer(tokenPause)
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return fmt.Errorf("wait for a token: %w", ctx.Err())
		}
	}
}

// unanswered: what repeating cannot mend is told of; at the end the reconciler
// goes on asking. Anything else stops the recovery here, to be continued: what
// comes after may hang on the answer.
func (p *page) unanswered(key pay.OrderKey, refund pay.OutRefundNo, err error) error {
	final := errors.Is(err, errUnreachable) || wechatpay.IsNotExist(err) || wechatpay.ClassOf(err) == wechatpay.ClassConfig
	if p.ending {
		p.trouble(key, refund, "WeChat Pay was asked about it: "+err.Error())
	}
	if final || p.ending {
		return nil
	}
	return problem.Wrap(problem.Unavailable, err, "WeChat Pay gives no clear answer about order "+string(key.OutTradeNo)+", and what came after it hangs on that")
}
