package pay

import "time"

// AnomalyKind is a way in which money does not fit its order.
type AnomalyKind string

// The kinds of anomaly.
const (
	AnomalyLatePayment    AnomalyKind = "late_payment"    // paid after closed or failed
	AnomalyDoublePayment  AnomalyKind = "double_payment"  // another transaction for a paid order
	AnomalyAmountMismatch AnomalyKind = "amount_mismatch" // amount.total is not the order's
	AnomalyRefundOverrun  AnomalyKind = "refund_overrun"  // WeChat refunded more than we knew of
)

// AnomalyKinds lists the kinds of anomaly.
func AnomalyKinds() []AnomalyKind {
	return []AnomalyKind{AnomalyLatePayment, AnomalyDoublePayment, AnomalyAmountMismatch, AnomalyRefundOverrun}
}

// Policy is what a merchant wants done with an anomaly.
type Policy string

// The policies.
const (
	PolicyAccept Policy = "accept" // deliver
	PolicyRefund Policy = "refund" // give the money back
	PolicyHold   Policy = "hold"   // a person decides
)

// AnomalyState is where an anomaly stands.
type AnomalyState string

// The states of an anomaly.
const (
	AnomalyOpen     AnomalyState = "open"
	AnomalyAccepted AnomalyState = "accepted"
	AnomalyRefunded AnomalyState = "refunded"
)

// Decision is what becomes of money that does not fit.
type Decision string

// The decisions.
const (
	DecideAccept Decision = "accept" // deliver for it, or keep it where the order is paid by other money
	DecideRefund Decision = "refund" // give all of it back
)

// DecidedByPolicy is who decided where no person did.
const DecidedByPolicy = "policy"

// Anomaly is money that does not fit, with what was decided about it.
//
// It stays open until its money is where the decision wants it: an operator's
// refund leaves it open until all went back, because a refund may come to nothing.
type Anomaly struct {
	Kind          AnomalyKind
	MchID         MchID
	OutTradeNo    OutTradeNo
	TransactionID TransactionID
	OutRefundNo   OutRefundNo // of AnomalyRefundOverrun: the refund that went over
	Policy        Policy
	State         AnomalyState
	ExpectedFen   Fen
	ActualFen     Fen
	ObservedAt    time.Time

	Decision       Decision  // the latest; empty: nobody decided
	DecidedBy      string    // DecidedByPolicy, or an operator such as "token:ada"
	DecisionReason string    // the operator's, for people
	DecidedAt      time.Time // of the decision; without one, when all of the money was back
}

// Policies is one merchant's policy for each kind. The zero value means the defaults.
type Policies struct {
	LatePayment    Policy
	DoublePayment  Policy
	AmountMismatch Policy
	RefundFunds    string // FundsDefault or FundsAvailable; empty: default
}

// For returns the policy for a kind of anomaly, with the default where none is set:
// late money is accepted, doubled money is given back, everything else waits for a person.
func (p Policies) For(kind AnomalyKind) Policy {
	chosen, fallback := Policy(""), PolicyHold
	switch kind {
	case AnomalyLatePayment:
		chosen, fallback = p.LatePayment, PolicyAccept
	case AnomalyDoublePayment:
		chosen, fallback = p.DoublePayment, PolicyRefund
	case AnomalyAmountMismatch:
		chosen = p.AmountMismatch
	case AnomalyRefundOverrun:
	}
	if chosen == "" {
		return fallback
	}
	return chosen
}
