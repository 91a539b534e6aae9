package operator

import (
	"slices"
	"strings"
	"time"

	"github.com/fenflow/fenflow/pkg/pay"
)

// maxAttempts is how many calls an answer tells of: one that is blocked is sent
// again every half hour, for as long as it takes.
const maxAttempts = 100

type refundRow struct {
	MchID           string    `json:"mchid"`
	OutRefundNo     string    `json:"out_refund_no"`
	OutTradeNo      string    `json:"out_trade_no"`
	TransactionID   string    `json:"transaction_id"`
	RefundID        string    `json:"refund_id,omitempty"`
	AmountFen       int64     `json:"amount_fen"`
	Currency        string    `json:"currency"`
	BuyerReason     string    `json:"buyer_reason,omitempty"`
	Funds           string    `json:"funds"`
	Origin          string    `json:"origin"`
	State           string    `json:"state"`
	FailureCode     string    `json:"failure_code,omitempty"`
	FailureReason   string    `json:"failure_reason,omitempty"`
	ReceivedAccount string    `json:"received_account,omitempty"`
	AbnormalRounds  int       `json:"abnormal_rounds"`
	CreatedAt       time.Time `json:"created_at"`
	UpdatedAt       time.Time `json:"updated_at"`
	SucceededAt     time.Time `json:"succeeded_at,omitzero"`
	NextCheckAt     time.Time `json:"next_check_at,omitzero"`
}

type refundPage struct {
	Refunds    []refundRow `json:"refunds"`
	NextCursor string      `json:"next_cursor,omitempty"`
}

type refundStory struct {
	FoundBy      string            `json:"found_by"`
	Refund       refundRow         `json:"refund"`
	Attempts     []attemptDocument `json:"attempts"`
	AttemptsMade int               `json:"attempts_made"`
	Next         *refundNext       `json:"next,omitempty"`
	Order        orderDocument     `json:"order"`
	Payment      *paymentDocument  `json:"payment,omitempty"`
	Timeline     []momentDocument  `json:"timeline"`
}

func refundRowOf(r pay.Refund) refundRow {
	return refundRow{
		MchID: string(r.MchID), OutRefundNo: string(r.OutRefundNo), OutTradeNo: string(r.OutTradeNo), TransactionID: string(r.TransactionID),
		RefundID: r.RefundID, AmountFen: int64(r.Amount), Currency: r.Currency, BuyerReason: r.Reason, Funds: r.Funds, Origin: string(r.Origin),
		State: string(r.State), FailureCode: r.FailureCode, FailureReason: r.FailureReason, ReceivedAccount: r.ReceivedAccount,
		AbnormalRounds: r.AbnormalRounds, CreatedAt: r.CreatedAt, UpdatedAt: r.UpdatedAt, SucceededAt: r.SucceededAt, NextCheckAt: r.NextCheckAt,
	}
}

func refundStoryOf(foundBy string, r pay.RefundMoment, s pay.Story, timeline []pay.Moment) refundStory {
	latest := r.Attempts[max(len(r.Attempts)-maxAttempts, 0):]
	document := refundStory{
		FoundBy: foundBy, Refund: refundRowOf(r.Refund), Attempts: each(latest, attemptOf), AttemptsMade: len(r.Attempts),
		Next: nextOf(r), Order: orderOf(s.Order), Timeline: each(aboutRefund(r.OutRefundNo, timeline), momentOf),
	}
	for _, p := range s.Payments {
		if p.TransactionID == r.TransactionID {
			payment := paymentOf(p)
			document.Payment = &payment
		}
	}
	return document
}

// aboutRefund leaves of an order's timeline what one refund's steps, acts and
// messages are, and the events that tell of its steps. An event carries the
// order's sequence as of the step that it tells of.
func aboutRefund(no pay.OutRefundNo, timeline []pay.Moment) []pay.Moment {
	steps, messages := map[int64]bool{}, map[pay.DeliveryID]bool{}
	for _, m := range timeline {
		if m.Kind == pay.MomentHistory && m.OutRefundNo == no {
			steps[m.Sequence] = true
			messages[m.DeliveryID] = m.DeliveryID != ""
		}
	}
	return slices.DeleteFunc(slices.Clone(timeline), func(m pay.Moment) bool {
		switch m.Kind {
		case pay.MomentEvent:
			return !steps[m.Sequence] || !strings.HasPrefix(m.What, "refund.")
		case pay.MomentDelivery, pay.MomentLetter:
			return !messages[m.DeliveryID]
		}
		return m.OutRefundNo != no
	})
}
