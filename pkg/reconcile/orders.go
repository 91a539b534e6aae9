package reconcile

import (
	"context"
	"fmt"
	"time"

	"github.com/fenflow/fenflow/pkg/pay"
	"github.com/fenflow/fenflow/pkg/wechatpay"
)

const (
	// callTimeout is the client's own, and the end of a client that has none.
	callTimeout = 10 * time.Second
	// orderLease: a call and a commit. An order that is asked about twice costs
	// a token, no more, so it may be short: a reconciler that was killed delays
	// its orders by this.
	orderLease = 20 * time.Second
)

// SweepOrders asks about the orders that are due and closes those that are to be
// closed:
//
//  1. each merchant's gear is looked at;
//  2. orders are claimed under the merchant's budgets, as many as calls can
//     start at once, again and again while more is due;
//  3. the calls run on in the background; their answers are booked by Run.
func (s *Service) SweepOrders(ctx context.Context) error {
	s.failures.forget(s.now())
	return s.sweep(ctx, SweepOrders, s.shiftGear, s.claimOrders(pay.APIOrderQuery), s.claimOrders(pay.APIOrderClose))
}

// shiftGear keeps the merchant's gear for this sweep. Whoever changed it says so.
func (s *Service) shiftGear(ctx context.Context, mchid pay.MchID) error {
	gear, changed, err := s.Books.ShiftGear(ctx, mchid)
	if err != nil {
		return fmt.Errorf("shift gear: %w", err)
	}
	s.gears.set(mchid, gear)
	switch {
	case changed && gear == pay.GearTight:
		s.Log.WarnContext(ctx, "payments came without their notifications: open orders are asked about often until they arrive again. Look at the notify listener and whether WeChat Pay reaches public_url", "mchid", mchid, "gear", gear)
	case changed:
		s.Log.InfoContext(ctx, "notifications arrive: open orders are asked about seldom", "mchid", mchid, "gear", gear)
	}
	return nil
}

func (s *Service) claimOrders(api pay.API) claim {
	return func(ctx context.Context, mchid pay.MchID) (bool, error) {
		at := post{mchid, api}
		slots := s.crew.reserve(at, slotsOf(api))
		if slots == 0 {
			return true, nil
		}
		claimed, err := s.Books.ClaimOrders(ctx, mchid, s.budget(api), slots, orderLease)
		s.crew.release(at, slots-len(claimed.Orders))
		if err != nil {
			return false, fmt.Errorf("claim orders for %s: %w", api, err)
		}
		s.heard(claimed.Lease, orderLease)
		for _, o := range claimed.Orders {
			s.crew.run(at, func() { s.lookAt(context.WithoutCancel(ctx), o, claimed.Lease, false) })
		}
		return claimed.More, nil
	}
}

// CheckOrder asks about one order now, if it is due: somebody made it so and
// waits. Without a free slot or token the next sweep finds it.
func (s *Service) CheckOrder(ctx context.Context, mchid pay.MchID, no pay.OutTradeNo) error {
	at := post{mchid, pay.APIOrderQuery}
	if _, reachable := s.Merchants.WeChat(mchid); !reachable || s.crew.reserve(at, 1) == 0 {
		return nil
	}
	claimed, err := s.Books.ClaimOrder(ctx, mchid, no, s.budget(pay.APIOrderQuery), orderLease)
	if err != nil || len(claimed.Orders) == 0 {
		s.crew.release(at, 1)
		if err != nil {
			return fmt.Errorf("claim order: %w", err)
		}
		return nil
	}
	s.heard(claimed.Lease, orderLease)
	s.crew.run(at, func() { s.lookAt(context.WithoutCancel(ctx), claimed.Orders[0], claimed.Lease, true) })
	return nil
}

// lookAt makes the call that is due about a claimed order and hands on what it
// came to. asked: somebody waits for it, so the gear does not count.
func (s *Service) lookAt(ctx context.Context, o pay.Order, lease time.Time, asked bool) {
	wechat, reachable := s.Merchants.WeChat(o.MchID)
	if !reachable {
		return // taken out of the configuration; the lease runs out
	}
	v := verdict{order: o, lease: lease, closeCount: o.CloseCount}
	gear := s.gears.get(o.MchID)
	if later, early := tooEarly(o, gear, s.now()); early && !asked && o.CheckAPI != pay.APIOrderClose {
		s.giveBack(ctx, o.MchID, pay.APIOrderQuery)
		v.plan = later
		s.answers <- v
		return
	}
	ctx, cancel := context.WithTimeout(ctx, callTimeout+time.Second)
	defer cancel()
	if o.CheckAPI == pay.APIOrderClose {
		s.answers <- s.closeOrder(ctx, wechat, v)
		return
	}
	s.answers <- s.queryOrder(ctx, wechat, v, gear)
}

func (s *Service) queryOrder(ctx context.Context, wechat OrderCalls, v verdict, gear pay.Gear) verdict {
	o, key := v.order, failing{v.order.MchID, v.order.OutTradeNo, pay.APIOrderQuery}
	answer, err := wechat.QueryOrder(ctx, o)
	now := s.now()
	s.metrics.count(pay.APIOrderQuery, err)
	switch {
	case err == nil:
		s.failures.clear(key)
		obs, _ := answer.Observation(pay.SourceQuery)
		v = answered(v, obs, gear, now)
		return s.archived(ctx, v, answer.Answer)
	case wechatpay.IsNotExist(err):
		s.failures.clear(key)
		verified := wechatpay.IsVerifiedNotExist(err)
		v, alert := missing(v, verified, gear, now)
		if alert {
			s.metrics.missing.WithLabelValues(string(o.State)).Inc()
			s.sayOnce(ctx, o.MchID, "WeChat Pay does not know an order of ours; it is asked about again. Look whether this mchid is used by another system, and at the order's history",
				"out_trade_no", o.OutTradeNo, "state", o.State, "verified", verified, "error", err)
		}
		return v
	}
	s.limited(ctx, o.MchID, pay.APIOrderQuery, err)
	return unclear(v, err, s.failures.add(key, now), gear, s.Waits.FrequencyLimited, now)
}

func (s *Service) closeOrder(ctx context.Context, wechat OrderCalls, v verdict) verdict {
	key := failing{v.order.MchID, v.order.OutTradeNo, pay.APIOrderClose}
	_, err := wechat.CloseOrder(ctx, v.order)
	now := s.now()
	s.metrics.count(pay.APIOrderClose, err)
	if err == nil {
		s.failures.clear(key)
		return closed(v, nil, 0, s.Waits.FrequencyLimited, now)
	}
	s.limited(ctx, v.order.MchID, pay.APIOrderClose, err)
	return closed(v, err, s.failures.add(key, now), s.Waits.FrequencyLimited, now)
}

// archived joins what is booked to the bytes that prove it.
func (s *Service) archived(ctx context.Context, v verdict, answer wechatpay.Answer) verdict {
	if v.entry == nil {
		return v
	}
	delivery, err := deliveryOf(answer, v.order.MchID, v.order.OutTradeNo, v.entry.Observation.TransactionID)
	if err != nil {
		s.Log.ErrorContext(ctx, "an answer cannot be archived; it is asked for again", "mchid", v.order.MchID, "out_trade_no", v.order.OutTradeNo, "error", err)
		v.entry, v.plan = nil, look{pay.APIOrderQuery, s.now().Add(lastRetry)}
		return v
	}
	v.entry.Delivery, v.entry.Observation.DeliveryID = &delivery, delivery.ID
	return v
}

// limited slows the merchant's calls down after WeChat Pay said that they come
// too often, and tells of a refusal that a person must put right.
func (s *Service) limited(ctx context.Context, mchid pay.MchID, api pay.API, err error) {
	switch {
	case wechatpay.IsFrequencyLimited(err):
		s.sayOnce(ctx, mchid, "WeChat Pay wants fewer calls; this merchant's rate is halved for a minute", "api", api)
		if err := s.Books.HalveBudget(ctx, mchid, s.budget(api), halvedFor); err != nil {
			s.Log.WarnContext(ctx, "a budget was not halved", "mchid", mchid, "api", api, "error", err)
		}
	case wechatpay.ClassOf(err) == wechatpay.ClassConfig:
		s.sayOnce(ctx, mchid, "WeChat Pay refuses this merchant's calls until somebody has put something right: compare serial, keys, appid and permissions with the merchant platform", "api", api, "error", err)
	default:
		s.sayOnce(ctx, mchid, "a call to WeChat Pay had no clear answer; it is made again", "api", api, "error", err)
	}
}

const halvedFor = time.Minute

// giveBack returns a token that was not used.
func (s *Service) giveBack(ctx context.Context, mchid pay.MchID, api pay.API) {
	s.spend(ctx, mchid, api, -1)
}

// spend takes tokens beyond those of a claim. That it fails makes calls a
// little too many or too few, no more.
func (s *Service) spend(ctx context.Context, mchid pay.MchID, api pay.API, n int) {
	if err := s.Books.ChargeTokens(ctx, mchid, s.budget(api), n); err != nil {
		s.Log.DebugContext(ctx, "tokens were not charged", "mchid", mchid, "api", api, "tokens", n, "error", err)
	}
}
