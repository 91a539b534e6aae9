package reconcile

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/fenflow/fenflow/pkg/merchant"
	"github.com/fenflow/fenflow/pkg/pay"
	"github.com/fenflow/fenflow/pkg/wechatpay"
)

// Orders are the orders that are due.
type Orders interface {
	ClaimOrders(ctx context.Context, mchid pay.MchID, b pay.Budget, limit int, lease time.Duration) (pay.OrderClaim, error)
	ClaimOrder(ctx context.Context, mchid pay.MchID, no pay.OutTradeNo, b pay.Budget, lease time.Duration) (pay.OrderClaim, error)
	PlanOrders(ctx context.Context, plans []pay.OrderPlan) error
}

// Refunds are the refunds that are due.
type Refunds interface {
	ClaimRefunds(ctx context.Context, mchid pay.MchID, b pay.Budget, limit int, lease time.Duration) (pay.RefundClaim, error)
	ClaimRefund(ctx context.Context, mchid pay.MchID, no pay.OutRefundNo, b pay.Budget, lease time.Duration) (pay.RefundClaim, error)
	PlanRefund(ctx context.Context, p pay.RefundPlan) error
}

// Attempts are the calls that sent refunds, each on disk before it starts.
type Attempts interface {
	BeginAttempt(ctx context.Context, a pay.AttemptStart) (pay.AttemptBegun, error)
	EndAttempt(ctx context.Context, mchid pay.MchID, no pay.OutRefundNo, a pay.Attempt) error
}

// Hints are refund numbers that somebody told of without proof.
type Hints interface {
	ClaimHints(ctx context.Context, mchid pay.MchID, b pay.Budget, limit int, lease time.Duration) ([]pay.ClaimedHint, error)
	PlanHint(ctx context.Context, h pay.ClaimedHint, next time.Time) error
}

// Budgets are the tokens that calls cost.
type Budgets interface {
	ChargeTokens(ctx context.Context, mchid pay.MchID, b pay.Budget, n int) error
	HalveBudget(ctx context.Context, mchid pay.MchID, b pay.Budget, d time.Duration) error
}

// Gears say how often a merchant's orders are asked about.
type Gears interface {
	ShiftGear(ctx context.Context, mchid pay.MchID) (gear pay.Gear, changed bool, err error)
	Backlog(ctx context.Context, mchid pay.MchID) (pay.Backlog, error)
}

// Settler books what was observed; nothing else moves an order or a refund.
type Settler interface {
	Settle(ctx context.Context, entries []pay.Entry, policies func(pay.MchID) pay.Policies) (pay.Settled, error)
}

// Sweeps remember when a sweep last began, whoever ran it.
type Sweeps interface {
	BeginSweep(ctx context.Context, kind string) error
}

// Books are all of it: the database.
type Books interface {
	Orders
	Refunds
	Attempts
	Hints
	Budgets
	Gears
	Settler
	Sweeps
}

// OrderCalls are one merchant's calls about orders.
type OrderCalls interface {
	QueryOrder(ctx context.Context, o pay.Order) (wechatpay.OrderAnswer, error)
	CloseOrder(ctx context.Context, o pay.Order) (wechatpay.Answer, error)
}

// RefundCalls are one merchant's calls about refunds.
type RefundCalls interface {
	RefundBody(r wechatpay.RefundRequest) ([]byte, error)
	SubmitRefund(ctx context.Context, protocol pay.Protocol, body []byte) (wechatpay.RefundAnswer, error)
	QueryRefund(ctx context.Context, q wechatpay.RefundQuery) (wechatpay.RefundAnswer, error)
	ApplyAbnormal(ctx context.Context, refundID, keyID string, body []byte) (wechatpay.RefundAnswer, error)
}

// WeChat is one merchant's way to WeChat Pay.
type WeChat interface {
	OrderCalls
	RefundCalls
}

// Merchants are the merchants as they are configured now.
type Merchants interface {
	All() []pay.MchID
	Credentials(mchid pay.MchID) (*merchant.Credentials, bool)
	WeChat(mchid pay.MchID) (WeChat, bool)
}

// Budget is how many calls of each kind a merchant may make in a second.
type Budget struct {
	OrderQuery, OrderClose, Refund, RefundQuery int
}

// Waits are the spans that configuration may shorten.
type Waits struct {
	RefundGap         time.Duration // between refunds of one payment
	RefundPoll        time.Duration // between questions about a refund under way
	RefundBackoff     time.Duration // after a refund's call of unknown outcome
	FrequencyLimited  time.Duration // after WeChat Pay said that calls come too often
	NotEnough         time.Duration // after a refund found too little money, or needs an operator
	UnknownQuarantine time.Duration // see pay.MayFail
}

// Options are what a Service is made of.
type Options struct {
	Books     Books
	Merchants Merchants
	Budget    Budget
	Waits     Waits
	// NotifyURL is where WeChat Pay is to post about a merchant's refunds.
	NotifyURL func(mchid pay.MchID, protocol pay.Protocol) string
	// Retryable says whether an error of Books may go away by itself.
	Retryable func(error) bool
	Now       func() time.Time
	Log       *slog.Logger
	Registry  prometheus.Registerer
}

// Service asks, closes, sends and follows. Run must run while anything else of
// it is called.
type Service struct {
	Options
	clock
	metrics  metrics
	crew     *crew
	answers  chan verdict // see answers.go
	failures failures
	gears    gears
	said     said
	troubles map[string]*trouble // by kind of sweep
	sweeping map[string]*sync.Mutex
	money    wanting
}

// New makes a Service.
func New(o Options) *Service {
	return &Service{
		Options: o, clock: clock{own: o.Now}, metrics: newMetrics(o.Registry), crew: newCrew(),
		answers:  make(chan verdict, maxBatch), // a batch may gather while another is on its way
		troubles: map[string]*trouble{SweepOrders: {}, SweepRefunds: {}, watchBound: {}},
		sweeping: map[string]*sync.Mutex{SweepOrders: {}, SweepRefunds: {}},
	}
}

// stopWithin bounds an orderly end: the longest call to WeChat Pay, and a
// commit after it.
const stopWithin = 15 * time.Second

// Run books the answers and watches the bounds until ctx ends; then nothing new
// is claimed, calls under way come to their end, and their answers are booked.
func (s *Service) Run(ctx context.Context) error {
	working := context.WithoutCancel(ctx)
	booked := make(chan struct{})
	go func() {
		defer close(booked)
		s.bookAnswers(working)
	}()
	s.watch(ctx)
	if !s.crew.stop(stopWithin) {
		s.Log.WarnContext(working, "calls to WeChat Pay were cut off by the stop; their leases run out and others go on")
		return nil
	}
	close(s.answers) // nobody writes any more
	<-booked
	return nil
}

func (s *Service) budget(api pay.API) pay.Budget {
	b := pay.Budget{API: api}
	switch api {
	case pay.APIOrderQuery:
		b.PerSecond = s.Budget.OrderQuery
	case pay.APIOrderClose:
		b.PerSecond = s.Budget.OrderClose
	case pay.APIRefund, pay.APIRefundAbnormal:
		b.PerSecond = s.Budget.Refund
	case pay.APIRefundQuery:
		b.PerSecond = s.Budget.RefundQuery
	}
	return b
}

// policiesOf gives what the merchant wants done with money that does not fit.
func (s *Service) policiesOf(mchid pay.MchID) pay.Policies {
	credentials, known := s.Merchants.Credentials(mchid)
	if !known {
		return pay.Policies{}
	}
	return credentials.Merchant.Rules()
}
