package command

import (
	"context"
	"fmt"
	"log/slog"
	"runtime"
	"runtime/debug"
	"time"

	"github.com/google/uuid"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/fenflow/fenflow/pkg/merchant"
	"github.com/fenflow/fenflow/pkg/pay"
	"github.com/fenflow/fenflow/pkg/problem"
	"github.com/fenflow/fenflow/pkg/wechatpay"
)

// Books are the database as commands need it.
type Books interface {
	Orders
	Refunds
	Schedule

	Settle(ctx context.Context, entries []pay.Entry, policies func(pay.MchID) pay.Policies) (pay.Settled, error)
	WriteAudit(ctx context.Context, e pay.AuditEntry) error
	Command(ctx context.Context, mchid pay.MchID, id pay.CommandID) (pay.CommandResult, bool, error)
	FinishCommand(ctx context.Context, result pay.CommandResult) error
}

// Orders are the orders in the books.
type Orders interface {
	Order(ctx context.Context, mchid pay.MchID, no pay.OutTradeNo) (pay.Order, bool, error)
	CreateOrder(ctx context.Context, o pay.Order) (order pay.Order, created bool, events []pay.Outgoing, err error)
	Story(ctx context.Context, mchid pay.MchID, no pay.OutTradeNo) (pay.Story, bool, error)
	// LeaseRenewal lets one worker make a credential anew; nil: another one does.
	LeaseRenewal(ctx context.Context, mchid pay.MchID, no pay.OutTradeNo, lease time.Duration) (end func(context.Context) error, err error)
}

// Refunds are the refunds in the books, and what they give back.
type Refunds interface {
	Refund(ctx context.Context, mchid pay.MchID, no pay.OutRefundNo) (pay.Refund, bool, error)
	RefundMoment(ctx context.Context, mchid pay.MchID, no pay.OutRefundNo) (pay.RefundMoment, bool, error)
	Payment(ctx context.Context, mchid pay.MchID, id pay.TransactionID) (pay.Payment, bool, error)
	WishAbnormal(ctx context.Context, mchid pay.MchID, no pay.OutRefundNo, body []byte, keyID, actor, why string) (bool, error)
}

// Schedule says what the reconciler does when, and how many calls are left.
type Schedule interface {
	TakeToken(ctx context.Context, mchid pay.MchID, b pay.Budget) (bool, error)
	HalveBudget(ctx context.Context, mchid pay.MchID, b pay.Budget, d time.Duration) error
	DueOrder(ctx context.Context, mchid pay.MchID, no pay.OutTradeNo) error
	RequestClose(ctx context.Context, mchid pay.MchID, no pay.OutTradeNo) error
}

// WeChat is one merchant's way to WeChat Pay, over the protocol of each order.
type WeChat interface {
	PrepayBody(o pay.Order, notifyURL string) ([]byte, error)
	Prepay(ctx context.Context, o pay.Order) (pay.Credential, wechatpay.Answer, error)
	QueryOrder(ctx context.Context, o pay.Order) (wechatpay.OrderAnswer, error)
	CloseOrder(ctx context.Context, o pay.Order) (wechatpay.Answer, error)
	QueryRefund(ctx context.Context, q wechatpay.RefundQuery) (wechatpay.RefundAnswer, error)
	AbnormalBody(r wechatpay.AbnormalRequest) (body []byte, keyID string, err error)
}

// Merchants knows the merchants with their secrets and their way to WeChat Pay.
type Merchants interface {
	Credentials(mchid pay.MchID) (*merchant.Credentials, bool)
	WeChat(mchid pay.MchID) (WeChat, bool)
}

// Letters retries payments that came before their order, and refund notices
// that came before their payment.
type Letters interface {
	Retry(ctx context.Context, mchid pay.MchID, no pay.OutTradeNo) (int, error)
}

// Relay takes the events of a commit. It never waits.
type Relay interface {
	Hand(events []pay.Outgoing)
}

// Waker makes the reconciler look at once. It spares a second: what is due lies
// in the database, and a wake-up that is lost changes nothing.
type Waker interface {
	WakeOrder(ctx context.Context, mchid pay.MchID, no pay.OutTradeNo)
	WakeRefund(ctx context.Context, mchid pay.MchID, no pay.OutRefundNo)
}

// Options are what a Service is made of.
type Options struct {
	Books     Books
	Merchants Merchants
	Letters   Letters
	Relay     Relay
	Waker     Waker
	// Sessions and Buyers may be nil where no front door is served; then nothing
	// may be asked for buyers.
	Sessions Sessions
	Buyers   BuyersOrders
	Budgets  Budgets
	// Quarantine is how long a call of unknown outcome keeps a refund from being given up.
	Quarantine time.Duration
	// NotifyURL is where WeChat Pay is to post about a merchant's orders.
	NotifyURL func(mchid pay.MchID, protocol pay.Protocol) string
	// Retryable says whether an error of Books may go away by itself.
	Retryable func(error) bool
	Now       func() time.Time
	Nonce     func() string
	Log       *slog.Logger
	Registry  prometheus.Registerer
}

// Service carries out commands.
type Service struct {
	Options
	numbers numbers // create and close, which must not cross each other
	checks  checks
	renewed renewals
	metrics metrics
}

// New makes a Service.
func New(o Options) *Service {
	return &Service{Options: o, metrics: newMetrics(o.Registry)}
}

// Execute carries out one command and records how it ended. It may be called
// again for the same command: what is finished is answered from its row.
//
// An error means that the database is away: nothing is recorded, and the
// command comes again.
func (s *Service) Execute(ctx context.Context, cmd pay.Command) (pay.CommandResult, error) {
	if _, err := uuid.Parse(string(cmd.ID)); err != nil {
		return s.unrecordable(ctx, cmd, err)
	}
	done, found, err := s.Books.Command(ctx, cmd.MchID, cmd.ID)
	switch {
	case err != nil && (ctx.Err() != nil || s.Retryable(err)):
		return pay.CommandResult{}, fmt.Errorf("look up command: %w", err)
	case err != nil:
		return s.unrecordable(ctx, cmd, err)
	}
	if found {
		return done, nil
	}
	end, err := s.carryOut(ctx, cmd)
	if err != nil {
		return pay.CommandResult{}, err
	}
	result, err := s.resultOf(cmd, end)
	if err != nil {
		return pay.CommandResult{}, err
	}
	switch err := s.Books.FinishCommand(ctx, result); {
	case err != nil && (ctx.Err() != nil || s.Retryable(err)):
		return pay.CommandResult{}, fmt.Errorf("record command: %w", err)
	case err != nil: // what it did is in the books of its order
		s.Log.ErrorContext(ctx, "the outcome of a command cannot be recorded", "mchid", cmd.MchID, "command_id", clip(string(cmd.ID)), "error", err)
	}
	s.report(ctx, result, end)
	return result, nil
}

// unrecordable ends a command that has no place in the books, such as one
// whose id is no UUID: ingest makes none. It must not come back for ever.
func (s *Service) unrecordable(ctx context.Context, cmd pay.Command, cause error) (pay.CommandResult, error) {
	end := failed(pay.CommandRefused, problem.New(problem.Refused, "fenflow cannot record this command and did nothing"))
	result, err := s.resultOf(cmd, end)
	if err != nil {
		return pay.CommandResult{}, err
	}
	s.Log.ErrorContext(ctx, "a command cannot be recorded", "mchid", cmd.MchID, "command_id", clip(string(cmd.ID)), "error", cause)
	s.report(ctx, result, end)
	return result, nil
}

// carryOut decides and acts. A fault of ours is an outcome too, unless the
// database is away: a command that fails for ever must not come for ever.
func (s *Service) carryOut(ctx context.Context, cmd pay.Command) (end ending, err error) {
	defer func() {
		if p := recover(); p != nil {
			s.Log.ErrorContext(ctx, "panic in a command", "mchid", cmd.MchID, "command_id", cmd.ID, "panic", harmless(p), "stack", string(debug.Stack()))
			end, err = failed(pay.CommandUnavailable, problem.New(problem.Internal, "fenflow failed; repeat the same request with the same number")), nil
		}
	}()
	switch cmd.Kind {
	case pay.CommandOrderCreate:
		end, err = s.createOrder(ctx, cmd)
	case pay.CommandOrderClose:
		end, err = s.closeOrder(ctx, cmd)
	case pay.CommandRefundCreate:
		end, err = s.createRefund(ctx, cmd)
	case pay.CommandAnomalyAccept, pay.CommandAnomalyRefund:
		end, err = s.decideAnomaly(ctx, cmd)
	case pay.CommandRefundGiveUp:
		end, err = s.giveUpRefund(ctx, cmd)
	default:
		return failed(pay.CommandRefused, problem.Newf(problem.Refused, "this version does not know the command %q", clip(string(cmd.Kind)))), nil
	}
	if err == nil || ctx.Err() != nil || s.Retryable(err) {
		return end, err
	}
	return failed(pay.CommandUnavailable, problem.Wrap(problem.Internal, err, "fenflow could not carry out the command; repeat the same request with the same number")), nil
}

// policiesOf are the merchant's rules for money that does not fit, and where
// refunds take theirs from.
func (s *Service) policiesOf(mchid pay.MchID) pay.Policies {
	credentials, known := s.Merchants.Credentials(mchid)
	if !known {
		return pay.Policies{}
	}
	return credentials.Merchant.Rules()
}

// report writes the command's one line.
func (s *Service) report(ctx context.Context, result pay.CommandResult, end ending) {
	s.metrics.commands.WithLabelValues(string(result.Kind), string(result.Outcome)).Inc()
	s.metrics.seconds.Observe(result.FinishedAt.Sub(result.ReceivedAt).Seconds())
	line := []any{"mchid", result.MchID, "command_id", result.ID, "kind", result.Kind, "out_trade_no", result.OutTradeNo, "outcome", result.Outcome, "status", result.Status}
	if result.OutRefundNo != "" {
		line = append(line, "out_refund_no", result.OutRefundNo)
	}
	if end.problem != nil {
		s.Log.WarnContext(ctx, "command", append(line, "error", end.problem)...)
		return
	}
	if end.refund != nil && end.anomaly == nil {
		s.Log.InfoContext(ctx, "command", append(line, "refund_state", end.refund.State, "amount_fen", int64(end.refund.Amount))...)
		return
	}
	if end.anomaly != nil {
		line = append(line, "transaction_id", end.anomaly.TransactionID, "anomaly", end.anomaly.Kind, "anomaly_state", end.anomaly.State)
	}
	s.Log.InfoContext(ctx, "command", append(line, "state", end.order.State)...)
}

// harmless prints a panic without what it may quote.
func harmless(p any) string {
	if err, ok := p.(runtime.Error); ok {
		return err.Error()
	}
	return fmt.Sprintf("%T", p)
}
