package simulator

import (
	"errors"
	"log/slog"
	"net/http"
	"sync"
	"time"
)

// Documented rates for one merchant (WeChat Pay docs 4012791834 and 4014959631,
// and the v2 unified order page). What has no documented rate is not limited.
const (
	prepayRate         = 500 // a second, as documented for JSAPI
	unifiedOrderRate   = 600 // a second, of v2
	refundRate         = 150 // a second
	refundErrorRate    = 6   // requests a second that end in an error
	refundQueryRate    = 300 // a second
	abnormalRefundRate = 150 // a second
	oldRefundRate      = 5000
	oldRefundAge       = 30 * 24 * time.Hour // then oldRefundRate a minute holds
	refundSpacing      = time.Minute         // between partial refunds of one order; divided by Speed
)

// codeTooSoon is answered to refunds of one order that follow each other too fast.
const codeTooSoon = "FREQUENCY_LIMITED"

// Names of buckets that are no operations of v3.
const (
	apiUnifiedOrder = "unifiedorder"
	apiOldRefund    = "old_refund"
	apiRefundError  = "refund_error"
)

// limits are the documented rate limits, counted in windows of the wall clock. Off,
// it lets everything pass.
type limits struct {
	on      bool
	now     func() time.Time
	log     *slog.Logger
	spacing time.Duration // between partial refunds of one order

	mu      sync.Mutex
	windows map[string]*window
}

// window counts what passed since it began.
type window struct {
	began time.Time
	count int
}

func newLimits(o Options) *limits {
	l := &limits{on: o.Limits, now: o.Now, log: o.Logger, spacing: refundSpacing, windows: map[string]*window{}}
	if o.Speed > 0 {
		l.spacing = time.Duration(float64(refundSpacing) / o.Speed)
	}
	return l
}

// allowance of one bucket in one span.
func allowance(bucket string) (count int, span time.Duration) {
	switch bucket {
	case apiPrepay:
		return prepayRate, time.Second
	case apiUnifiedOrder:
		return unifiedOrderRate, time.Second
	case apiRefund:
		return refundRate, time.Second
	case apiRefundError:
		return refundErrorRate, time.Second
	case apiRefundQuery:
		return refundQueryRate, time.Second
	case apiAbnormalRefund:
		return abnormalRefundRate, time.Second
	case apiOldRefund:
		return oldRefundRate, time.Minute
	}
	return 0, 0
}

// admit counts a request to an operation and refuses the one that is too much.
func (l *limits) admit(bucket string) *refusal {
	count, span := allowance(bucket)
	if !l.on || count == 0 {
		return nil
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	now, w := l.now(), l.windows[bucket]
	if w == nil || now.Sub(w.began) >= span {
		w = &window{began: now}
		l.windows[bucket] = w
	}
	if w.count++; w.count <= count {
		return nil
	}
	return l.refuse("RATELIMIT_EXCEEDED", "the rate of this API is exceeded",
		"limit", bucket, "allowed", count, "per", span, "this_is_number", w.count)
}

// refuse logs by the refusal's own line, which every refused request gets.
func (l *limits) refuse(code, message string, log ...any) *refusal {
	return &refusal{status: http.StatusTooManyRequests, code: code, message: message, log: log}
}

// failed counts refund requests that end in an error: beyond six a second the error
// itself is no longer told.
func (l *limits) failed(api string, err error) error {
	var refused *refusal
	if !l.on || api != apiRefund || !errors.As(err, &refused) {
		return err
	}
	if limited := l.admit(apiRefundError); limited != nil {
		limited.log = append(limited.log, "instead_of", refused.code)
		return limited
	}
	return err
}

// refund checks what depends on the order: old payments have a rate of their own,
// and partial refunds of one order need a minute between them. last is the time of
// the order's latest refund, zero if there is none.
func (l *limits) refund(paidAt, last time.Time) *refusal {
	if !l.on {
		return nil
	}
	if since := l.now().Sub(last); !last.IsZero() && since < l.spacing {
		return l.refuse(codeTooSoon, "refunds of one order must be a minute apart",
			"limit", "minute between partial refunds", "since_last", since, "allowed_after", l.spacing)
	}
	if l.now().Sub(paidAt) > oldRefundAge {
		return l.admit(apiOldRefund)
	}
	return nil
}

// tooSoon holds a new v3 refund against the limits.
func (s *Simulator) tooSoon(r refundRequest) *refusal {
	order, found := s.books.transaction(r.TransactionID)
	if !found {
		order, _ = s.books.order(r.OutTradeNo)
	}
	_, again := s.books.knownRefund(r.OutRefundNo)
	return s.spacedRefund(order, again)
}
