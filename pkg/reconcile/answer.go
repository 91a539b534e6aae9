package reconcile

import (
	"time"

	"github.com/fenflow/fenflow/pkg/pay"
	"github.com/fenflow/fenflow/pkg/wechatpay"
)

// verdict is what a call about an order came to: something to book, or when to
// look again, or both (what is booked may leave the order unresolved).
type verdict struct {
	order pay.Order // as it was claimed
	lease time.Time
	entry *pay.Entry // nil: nothing to book
	plan  look
	// checked is when WeChat Pay answered a query; zero: it did not.
	checked    time.Time
	closeCount int
}

func (v verdict) planned() pay.OrderPlan {
	return pay.OrderPlan{
		MchID: v.order.MchID, OutTradeNo: v.order.OutTradeNo, Lease: v.lease,
		NextCheckAt: v.plan.at, CheckAPI: v.plan.api, CloseCount: v.closeCount, CheckedAt: v.checked,
	}
}

// answered judges a verified answer to a query.
func answered(v verdict, obs pay.Observation, gear pay.Gear, now time.Time) verdict {
	v.checked = now
	switch {
	case obs.Kind == pay.ObservedOpen, obs.Kind == pay.ObservedClosed && v.order.State == pay.OrderFailed:
		v.plan = next(v.order, gear, now)
	default:
		v.entry = &pay.Entry{Observation: &obs}
		// Booked and still unresolved: its money does not fit and a person decides.
		v.plan = look{pay.APIOrderQuery, now.Add(slowly)}
	}
	return v
}

// missing judges a query that found nothing. Such an answer is often not signed
// (WeChat Pay doc 4012791834), and even a signed one may only be early: it ends
// an order only if nobody can have paid it for a while, a close was accepted,
// and the answer is verified.
func missing(v verdict, verified bool, gear pay.Gear, now time.Time) (_ verdict, alert bool) {
	v.checked = now
	o := v.order
	over := !now.Before(expiryOf(o).Add(missingFor))
	switch {
	case o.State == pay.OrderFailed:
		v.plan = failedLook(o, now)
		return v, false
	case o.State == pay.OrderCreated && !over:
		v.plan = next(o, gear, now)
		return v, false
	case o.State == pay.OrderCreated && verified && o.CloseCount > 0:
		v.entry = &pay.Entry{Observation: &pay.Observation{
			Kind: pay.ObservedRefused, Source: pay.SourceQuery, ObservedAt: now,
			MchID: o.MchID, OutTradeNo: o.OutTradeNo, AppID: o.AppID,
			Code: "ORDER_NOT_EXIST", Reason: "WeChat Pay does not know this order, and it has expired",
		}}
		v.plan = look{pay.APIOrderQuery, now.Add(slowly)}
		return v, false
	case o.State == pay.OrderCreated && o.CloseCount == 0:
		v.plan = look{pay.APIOrderClose, now}
		return v, false
	case o.State == pay.OrderCreated:
		v.plan = look{pay.APIOrderQuery, now.Add(slowly)}
		return v, true
	}
	// WeChat Pay gave a credential for it and must know it.
	v.plan = next(o, gear, now)
	if soonest := now.Add(oldEvery); v.plan.at.Before(soonest) && v.plan.api == pay.APIOrderQuery {
		v.plan.at = soonest
	}
	return v, true
}

// unclear judges a call without a clear answer: nothing is known, and it is
// asked again, later each time, but not less often than the gear would have it.
func unclear(v verdict, err error, tries int, gear pay.Gear, limited time.Duration, now time.Time) verdict {
	if wechatpay.IsFrequencyLimited(err) {
		v.plan = look{pay.APIOrderQuery, now.Add(limited)}
		return v
	}
	at := now.Add(doubled(firstRetry, tries, lastRetry))
	if gear == pay.GearTight && v.order.State.Open() && now.Before(expiryOf(v.order)) {
		at = earlier(at, tight(v.order, now))
	}
	v.plan = look{pay.APIOrderQuery, at}
	return v
}

// closed judges a call that was to close an order. A close that was accepted
// proves nothing, and one that was refused may mean that the order is paid: a
// query decides either way.
func closed(v verdict, err error, tries int, limited time.Duration, now time.Time) verdict {
	switch {
	case err == nil:
		v.closeCount++
		v.plan = look{pay.APIOrderQuery, now.Add(afterClose)}
	case wechatpay.IsFrequencyLimited(err):
		v.plan = look{pay.APIOrderQuery, now.Add(limited)}
	case wechatpay.ClassOf(err) == wechatpay.ClassQueryFirst && tries == 1:
		v.plan = look{pay.APIOrderQuery, now}
	default:
		v.plan = look{pay.APIOrderQuery, now.Add(doubled(firstRetry, tries, lastRetry))}
	}
	return v
}
