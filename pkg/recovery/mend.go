package recovery

import (
	"context"
	"fmt"
	"time"

	"github.com/fenflow/fenflow/pkg/pay"
)

// mend brings an order through what was told of it, fact by fact. It says
// whether all that decides what comes later is in the books then. Where one such
// fact cannot be brought about, nothing after it is tried: it would come out
// differently.
func (p *page) mend(ctx context.Context, key pay.OrderKey, facts story) (whole bool, err error) {
	for _, f := range facts {
		if f.done(p.book(key)) {
			continue
		}
		if err := p.bring(ctx, key, f); err != nil {
			return false, fmt.Errorf("%s of order %s: %w", f.Fact, key.OutTradeNo, err)
		}
		if f.binds() && !f.done(p.book(key)) {
			return false, nil
		}
	}
	return true, nil
}

// bring brings one fact about. What fenflow had decided is decided again by what
// it had told; that money moved takes WeChat Pay's word.
func (p *page) bring(ctx context.Context, key pay.OrderKey, f fact) error {
	book := p.book(key)
	switch {
	case f.Fact == pay.FactOrderCreated:
		return p.place(ctx, key)
	case book == nil:
		return nil
	case f.ofPayment():
		return p.askPayment(ctx, key, f)
	case f.Fact == pay.FactRefundRequested:
		return p.request(ctx, key, f)
	case f.Fact == pay.FactRefundClosed, f.ofRefundsCourse() && (p.ending || f.overrun):
		return p.askRefund(ctx, key, f)
	}
	if obs, ours := f.decided(); ours {
		return p.settle(ctx, key, pay.Entry{Observation: &obs})
	}
	return nil
}

// decided is what a fact of ours means for the books: it was true when it was
// told, and nothing that WeChat Pay says now could tell it any more.
func (f fact) decided() (obs pay.Observation, ours bool) {
	o := f.order
	obs = pay.Observation{
		Source: pay.SourceEvent, ObservedAt: f.CreatedAt, MchID: f.MchID, OutTradeNo: f.OutTradeNo, AppID: pay.AppID(o.AppID),
	}
	switch f.Fact {
	case pay.FactOrderPrepared:
		// Without what the buyer pays with, which was told to nobody but the shop. A
		// repeat of the shop's request gets it anew, from the stored bytes.
		obs.Kind = pay.ObservedPrepared
	case pay.FactOrderClosed:
		obs.Kind = pay.ObservedClosed
		if o.ClosedAt != nil {
			obs.ObservedAt = *o.ClosedAt
		}
	case pay.FactOrderFailed:
		obs.Kind = pay.ObservedRefused
		if o.Failure != nil {
			obs.Code, obs.Reason = o.Failure.Code, o.Failure.Reason
		}
	case pay.FactRefundFailed:
		obs.Kind, obs.TransactionID, obs.OutRefundNo = pay.ObservedRefundMissing, f.transaction(), f.refund()
		if o.Refund != nil && o.Refund.Failure != nil {
			obs.Code, obs.Reason = o.Refund.Failure.Code, o.Refund.Failure.Reason
		}
	default:
		return obs, false
	}
	return obs, true
}

// place places an order again as it was told of: the event holds all that the
// prepay call was made of.
func (p *page) place(ctx context.Context, keys ...pay.OrderKey) error {
	var orders []pay.Order
	for _, key := range keys {
		o, err := p.orderOf(key)
		if err != nil {
			p.trouble(key, "", "it cannot be placed again: "+err.Error())
			continue
		}
		orders = append(orders, o)
	}
	placed, events, err := p.Books.PlaceOrders(ctx, orders)
	if err != nil {
		return fmt.Errorf("place %d orders: %w", len(orders), err)
	}
	p.note(func(r *pay.Recovery) { r.Counts.Orders += placed })
	p.Hush.Hand(events)
	return p.look(ctx, keys...)
}

func (p *page) orderOf(key pay.OrderKey) (pay.Order, error) {
	var told fact
	for _, f := range p.story(key) {
		if f.Fact == pay.FactOrderCreated {
			told = f
			break
		}
	}
	e := told.order
	o := pay.Order{
		MchID: key.MchID, OutTradeNo: key.OutTradeNo, AppID: pay.AppID(e.AppID), Client: pay.Client(e.Client), Protocol: pay.Protocol(e.Protocol),
		Description: e.Description, Amount: pay.Fen(e.AmountFen), Currency: e.Currency, OpenID: pay.OpenID(e.OpenID), Attach: e.Attach, Digest: e.Digest,
		CreatedAt: e.CreatedAt.UTC(), UpdatedAt: e.CreatedAt.UTC(), ExpiresAt: e.ExpiresAt.UTC(), NextCheckAt: p.Now().UTC(), CheckAPI: pay.APIOrderQuery,
	}
	wechat, reachable := p.Merchants.WeChat(key.MchID)
	if !reachable {
		return o, fmt.Errorf("merchant %s is not configured, or has no key to sign with", key.MchID)
	}
	var err error
	if o.PrepayRequest, err = wechat.PrepayBody(o, p.NotifyURL(o.MchID, o.Protocol)); err != nil {
		return o, fmt.Errorf("make prepay request: %w", err)
	}
	return o, nil
}

// request puts a refund into the books that was granted and whose command is
// not there any more. Its digest is not known: a repeat of the command would be
// taken for another refund, which pays nothing twice.
func (p *page) request(ctx context.Context, key pay.OrderKey, f fact) error {
	r := f.order.Refund
	if !p.ending || r == nil || r.Origin == string(pay.RefundByPlatform) {
		return nil
	}
	if r.Origin == string(pay.RefundByCommand) {
		p.trouble(key, f.refund(), "it was granted, and its command is gone; it is in the books as it was told")
	}
	return p.settle(ctx, key, pay.Entry{Observation: &pay.Observation{
		Kind: pay.ObservedRefundRequested, Source: pay.SourceEvent, ObservedAt: orAt(r.CreatedAt, f.CreatedAt), Origin: pay.RefundOrigin(r.Origin),
		MchID: key.MchID, OutTradeNo: key.OutTradeNo, TransactionID: f.transaction(), Currency: r.Currency,
		OutRefundNo: f.refund(), RefundAmount: pay.Fen(r.AmountFen), Reason: r.Reason,
	}})
}

func orAt(at, otherwise time.Time) time.Time {
	if at.IsZero() {
		return otherwise
	}
	return at.UTC()
}
