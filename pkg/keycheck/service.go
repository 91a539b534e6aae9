package keycheck

import (
	"context"
	"log/slog"
	"time"

	"github.com/fenflow/fenflow/pkg/merchant"
	"github.com/fenflow/fenflow/pkg/pay"
	"github.com/fenflow/fenflow/pkg/problem"
	"github.com/fenflow/fenflow/pkg/wechatpay"
)

// Archive has the messages that came, the newest first.
type Archive interface {
	ListDeliveries(ctx context.Context, f pay.DeliveryFilter) (pay.DeliveryPage, error)
}

// Samples are what the edge turned away, the newest first.
type Samples interface {
	WalkSamples(ctx context.Context, before uint64, visit func(wechatpay.Sample) bool) error
}

// Budgets keep calls to WeChat Pay within what it takes.
type Budgets interface {
	TakeToken(ctx context.Context, mchid pay.MchID, b pay.Budget) (bool, error)
}

// WeChat is a merchant's way to WeChat Pay.
type WeChat interface {
	QueryOrder(ctx context.Context, o pay.Order) (wechatpay.OrderAnswer, error)
}

// Merchants are the merchants as they are configured now.
type Merchants interface {
	All() []pay.MchID
	Credentials(mchid pay.MchID) (*merchant.Credentials, bool)
	Asked(mchid pay.MchID) (WeChat, bool)
}

// Options are what a Service works with.
type Options struct {
	Archive    Archive
	Samples    Samples
	Budgets    Budgets
	Merchants  Merchants
	OrderQuery int // calls a second, of the budget of live checks
	Retryable  func(error) bool
	Now        func() time.Time
	Nonce      func() string
	Log        *slog.Logger
}

// maxChecks bounds the checks under way: each takes a processor for a while,
// and settling goes before.
const maxChecks = 4

// Service checks keys.
type Service struct {
	Options

	room chan struct{}
}

// New makes a Service.
func New(o Options) *Service { return &Service{Options: o, room: make(chan struct{}, maxChecks)} }

// Check holds a merchant's keys against its stored traffic:
//
//  1. which keys there are, and what expires;
//  2. the latest notifications, verified and decrypted once more;
//  3. the same with other keys: each kind alone, and what was asked for;
//  4. if asked for, one call to WeChat Pay that changes nothing;
//  5. what follows from all this, each thing with what to do.
func (s *Service) Check(ctx context.Context, q Question) (Report, error) {
	select {
	case s.room <- struct{}{}:
		defer func() { <-s.room }()
	default:
		return Report{}, &problem.Error{Kind: problem.TooManyRequests, Detail: "other checks are under way", NextStep: "Run it again in a few seconds."}
	}
	cred, known := s.Merchants.Credentials(q.MchID)
	if !known {
		return Report{}, problem.Newf(problem.UnknownMerchant, "merchant %s", q.MchID)
	}
	rehearsals, err := q.rehearsals(cred)
	if err != nil {
		return Report{}, err
	}
	r := Report{Merchant: s.merchant(cred), At: s.Now().UTC(), Asked: q.Count}
	t := newTally(cred, rehearsals)
	if err := s.read(ctx, q, t); err != nil {
		return Report{}, s.fault(err)
	}
	t.report(&r)
	r.Rehearsal.name(q)
	if q.With != nil {
		if err := s.rehearseSamples(ctx, q, r.Rehearsal); err != nil {
			return Report{}, s.fault(err)
		}
	}
	if q.Live {
		r.Live = s.probe(ctx, cred)
	}
	r.Findings = findings(cred, &r)
	r.OK = allRight(r.Findings)
	return r, nil
}

// fault gives an error of the database or the broker its kind.
func (s *Service) fault(err error) error {
	if s.Retryable(err) {
		return problem.Wrap(problem.DatabaseUnavailable, err, "the archive cannot be read at the moment")
	}
	return problem.Wrap(problem.BrokerUnavailable, err, "what is stored cannot be read at the moment")
}
