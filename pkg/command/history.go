package command

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"time"

	"github.com/fenflow/fenflow/pkg/pay"
	"github.com/fenflow/fenflow/pkg/problem"
)

// maxAttempts is how many attempts of one refund a history tells of, the latest
// ones: the answer must fit a message of the bus (1 MiB), and a payment may have
// 50 refunds. They are numbered, so that it shows where some are left out.
const maxAttempts = 20

// historyWire is everything that the books tell about one order.
type historyWire struct {
	MchID      string             `json:"mchid"`
	OutTradeNo string             `json:"out_trade_no"`
	State      string             `json:"state"`
	Entries    []entryWire        `json:"entries"`
	Payments   []paymentWire      `json:"payments"`
	Refunds    []refundStoryWire  `json:"refunds"`
	Anomalies  []anomalyStoryWire `json:"anomalies"`
}

type entryWire struct {
	Sequence      int64     `json:"sequence"`
	What          string    `json:"what"`
	Source        string    `json:"source"`
	From          string    `json:"from"`
	To            string    `json:"to"`
	TransactionID string    `json:"transaction_id,omitempty"`
	OutRefundNo   string    `json:"out_refund_no,omitempty"`
	RefundFrom    string    `json:"refund_from,omitempty"`
	RefundTo      string    `json:"refund_to,omitempty"`
	DeliveryID    string    `json:"delivery_id,omitempty"`
	KeyID         string    `json:"key_id,omitempty"`
	Detail        string    `json:"detail,omitempty"`
	At            time.Time `json:"at"`
}

type paymentWire struct {
	TransactionID string     `json:"transaction_id"`
	AmountFen     int64      `json:"amount_fen"`
	PayerTotalFen int64      `json:"payer_total_fen"`
	RefundedFen   int64      `json:"refunded_fen"`
	ReservedFen   int64      `json:"reserved_fen"`
	OverrunFen    int64      `json:"overrun_fen"`
	PaidAt        time.Time  `json:"paid_at"`
	ObservedAt    time.Time  `json:"observed_at"`
	NotifiedAt    *time.Time `json:"notified_at,omitempty"` // absent: known by asking only
}

type refundStoryWire struct {
	refundWire

	Attempts []attemptWire `json:"attempts"`
}

type attemptWire struct {
	Number     int        `json:"number"`
	StartedAt  time.Time  `json:"started_at"`
	FinishedAt *time.Time `json:"finished_at,omitempty"` // absent: nobody came back from it
	Outcome    string     `json:"outcome"`
	Status     int        `json:"status,omitempty"`
	Code       string     `json:"code,omitempty"`
	RequestID  string     `json:"request_id,omitempty"`
}

type anomalyStoryWire struct {
	Kind          string     `json:"kind"`
	TransactionID string     `json:"transaction_id"`
	OutRefundNo   string     `json:"out_refund_no,omitempty"`
	Policy        string     `json:"policy"`
	State         string     `json:"state"`
	ExpectedFen   int64      `json:"expected_fen"`
	ActualFen     int64      `json:"actual_fen"`
	ObservedAt    time.Time  `json:"observed_at"`
	Decision      string     `json:"decision,omitempty"`
	DecidedAt     *time.Time `json:"decided_at,omitempty"`
}

// ReadHistory answers {"mchid","out_trade_no"} with everything that happened to
// the order, as of one moment.
func (s *Service) ReadHistory(ctx context.Context, question []byte) ([]byte, error) {
	var q struct {
		MchID      pay.MchID      `json:"mchid"`
		OutTradeNo pay.OutTradeNo `json:"out_trade_no"`
	}
	if err := json.Unmarshal(question, &q); err != nil {
		return nil, fmt.Errorf("read question: %w", err)
	}
	story, found, err := s.Books.Story(ctx, q.MchID, q.OutTradeNo)
	switch {
	case err != nil:
		return answerProblem(problem.Wrap(problem.DatabaseUnavailable, err, "orders cannot be read at the moment"))
	case !found:
		return answerProblem(noOrder(q.MchID, q.OutTradeNo))
	}
	return answerJSON(http.StatusOK, wireStory(story))
}

// wireStory writes empty lists as lists, not as null.
func wireStory(story pay.Story) historyWire {
	wire := historyWire{
		MchID: string(story.Order.MchID), OutTradeNo: string(story.Order.OutTradeNo), State: string(story.Order.State),
		Entries: make([]entryWire, 0, len(story.History)), Payments: make([]paymentWire, 0, len(story.Payments)),
		Refunds: make([]refundStoryWire, 0, len(story.Refunds)), Anomalies: make([]anomalyStoryWire, 0, len(story.Anomalies)),
	}
	for _, h := range story.History {
		wire.Entries = append(wire.Entries, entryWire{
			Sequence: h.Sequence, What: h.What, Source: string(h.Source), From: string(h.From), To: string(h.To),
			TransactionID: string(h.TransactionID), OutRefundNo: string(h.OutRefundNo), RefundFrom: string(h.RefundFrom), RefundTo: string(h.RefundTo),
			DeliveryID: string(h.DeliveryID), KeyID: h.KeyID, Detail: h.Detail, At: h.At.UTC(),
		})
	}
	for _, p := range story.Payments {
		wire.Payments = append(wire.Payments, paymentWire{
			TransactionID: string(p.TransactionID), AmountFen: int64(p.Amount), PayerTotalFen: int64(p.PayerTotal),
			RefundedFen: int64(p.Refunded), ReservedFen: int64(p.Reserved), OverrunFen: int64(p.Overrun),
			PaidAt: p.PaidAt.UTC(), ObservedAt: p.ObservedAt.UTC(), NotifiedAt: instant(p.NotifiedAt),
		})
	}
	for _, r := range story.Refunds {
		wire.Refunds = append(wire.Refunds, refundStoryWire{wireRefund(r.Refund), wireAttempts(r.Attempts)})
	}
	for _, a := range story.Anomalies {
		wire.Anomalies = append(wire.Anomalies, anomalyStoryWire{
			Kind: string(a.Kind), TransactionID: string(a.TransactionID), OutRefundNo: string(a.OutRefundNo), Policy: string(a.Policy), State: string(a.State),
			ExpectedFen: int64(a.ExpectedFen), ActualFen: int64(a.ActualFen), ObservedAt: a.ObservedAt.UTC(),
			Decision: string(a.Decision), DecidedAt: instant(a.DecidedAt),
		})
	}
	return wire
}

func wireAttempts(attempts []pay.Attempt) []attemptWire {
	latest := attempts[max(len(attempts)-maxAttempts, 0):]
	wire := make([]attemptWire, 0, len(latest))
	for _, a := range latest {
		wire = append(wire, attemptWire{
			Number: a.Number, StartedAt: a.StartedAt.UTC(), FinishedAt: instant(a.FinishedAt),
			Outcome: string(a.Outcome), Status: a.Status, Code: a.Code, RequestID: a.RequestID,
		})
	}
	return wire
}
