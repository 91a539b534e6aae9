package pay

import (
	"strconv"
	"time"
)

// RefundOrigin says who wanted a refund.
type RefundOrigin string

// The origins.
const (
	RefundByCommand  RefundOrigin = "command"  // the shop
	RefundByPolicy   RefundOrigin = "policy"   // the merchant's policy for an anomaly
	RefundByOperator RefundOrigin = "operator" // a person, through fenflow
	RefundByPlatform RefundOrigin = "platform" // not through fenflow: the merchant platform's console
)

// Sources of money for a refund.
const (
	FundsDefault   = "default"   // what WeChat Pay takes by itself
	FundsAvailable = "available" // the available balance, for merchants on the old fund flow (WeChat Pay doc 4012791862)
)

// Refund is money of one payment on its way back to the buyer.
type Refund struct {
	MchID         MchID
	OutRefundNo   OutRefundNo
	OutTradeNo    OutTradeNo
	TransactionID TransactionID // the payment that it gives back
	RefundID      string        // WeChat's number, once it gave one
	Amount        Fen
	Currency      string
	Reason        string // shown to the buyer
	Funds         string // FundsDefault or FundsAvailable
	Origin        RefundOrigin
	Digest        string // hex SHA-256 of what was asked for; same number, same digest: same refund

	State    RefundState
	Sequence int64 // the order's sequence at the refund's last change

	Request         []byte // bytes of the call: made before the first attempt, sent unchanged each time
	CreatedAt       time.Time
	UpdatedAt       time.Time
	SucceededAt     time.Time
	ReceivedAccount string // where the money went, in WeChat's words
	FailureCode     string
	FailureReason   string

	NextCheckAt    time.Time // when the next call is due; zero: never
	CheckAPI       API       // which call that is
	CheckCount     int       // questions asked in the present state
	AbnormalRounds int       // how often it became abnormal

	Path []RefundState // the steps taken since the book was opened; the database takes the same
}

// Attempt is one call that sent a refund, as it was committed before the call
// and completed after it.
type Attempt struct {
	Number     int // from 1
	StartedAt  time.Time
	FinishedAt time.Time // zero: nobody came back from it
	Outcome    AttemptOutcome
	Status     int // HTTP; 0: no answer
	Code       string
	RequestID  string
}

// AttemptOutcome is how a call that sent a refund ended.
type AttemptOutcome string

// The outcomes of an attempt.
const (
	AttemptUnknown   AttemptOutcome = "unknown"    // it may have been carried out
	AttemptAccepted  AttemptOutcome = "accepted"   // WeChat's verified word
	AttemptRejected  AttemptOutcome = "rejected"   // by a code that is final
	AttemptNotEnough AttemptOutcome = "not_enough" // for want of money in the account: again, much later
	AttemptBlocked   AttemptOutcome = "blocked"    // until an operator has put something right
)

// Limits of refunds (WeChat Pay doc 4014959631).
const (
	MaxRefundsOfPayment = 50
	RefundableFor       = 365 * 24 * time.Hour // after the payment
)

// RefundTransition is one legal step of a refund and what causes it.
type RefundTransition struct {
	From, To RefundState
	Cause    string
}

// RefundTransitions is the whole table. The database holds the same in a
// trigger, and the diagram in the docs is drawn from it.
func RefundTransitions() []RefundTransition {
	return []RefundTransition{
		{RefundRequested, RefundProcessing, "accepted"},
		{RefundRequested, RefundFailed, "rejected for good"},
		{RefundProcessing, RefundSucceeded, "succeeded"},
		{RefundProcessing, RefundClosed, "closed"},
		{RefundProcessing, RefundAbnormal, "abnormal"},
		{RefundAbnormal, RefundProcessing, "driven on"},
		{RefundFailed, RefundProcessing, "accepted after all"},
	}
}

// CanMoveRefund says whether the table has a step between the two states.
func CanMoveRefund(from, to RefundState) bool {
	for _, t := range RefundTransitions() {
		if t.From == from && t.To == to {
			return true
		}
	}
	return false
}

// Unresolved says whether WeChat Pay still has to say how the refund ends.
func (s RefundState) Unresolved() bool {
	return s == RefundRequested || s == RefundProcessing || s == RefundAbnormal
}

// holds says whether the refund's money is set aside: it left, or may leave.
func (s RefundState) holds() bool { return s.Unresolved() }

// MayFail is the rule for giving up a refund that was never accepted. It needs
// all of: the latest attempt was rejected by a final code; no attempt of
// unknown outcome is younger than the quarantine; and WeChat Pay, asked after
// both were so, verifiably knows no such refund.
//
// An attempt that WeChat accepted forbids it for ever: whoever now says
// otherwise contradicts a verified word, and a person has to look.
//
// An attempt that nobody came back from, or whose answer cannot be believed,
// may still be under way there: a new number would then pay twice.
func MayFail(attempts []Attempt, askedAt time.Time, quarantine time.Duration) bool {
	if len(attempts) == 0 {
		return false
	}
	latest := attempts[0]
	for _, a := range attempts {
		if a.Number > latest.Number {
			latest = a
		}
		if a.Outcome == AttemptAccepted {
			return false
		}
		if a.Outcome == AttemptUnknown && askedAt.Before(a.StartedAt.Add(quarantine)) {
			return false
		}
	}
	return latest.Outcome == AttemptRejected && !latest.FinishedAt.IsZero() && askedAt.After(latest.FinishedAt)
}

// AutoRefundNo is the number of the one refund that a policy makes of a
// payment. It derives from the transaction, so that it exists once.
func AutoRefundNo(id TransactionID) OutRefundNo { return OutRefundNo("auto-" + string(id)) }

// maxOwnRefunds is how often fenflow tries by itself to give one payment back.
// Whatever came to nothing so often takes a person, and a number of theirs.
const maxOwnRefunds = 9

// OwnRefundNos are the numbers under which fenflow gives a payment back, first
// AutoRefundNo. The ones after it are for refunds that came to nothing: WeChat
// Pay takes a number once.
func OwnRefundNos(id TransactionID) []OutRefundNo {
	all := []OutRefundNo{AutoRefundNo(id)}
	for n := 2; n <= maxOwnRefunds; n++ {
		all = append(all, AutoRefundNo(id)+OutRefundNo("-"+strconv.Itoa(n)))
	}
	return all
}
