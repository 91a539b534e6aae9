package pay

import "fmt"

// RefusalReason says why a wish about money was not granted.
type RefusalReason string

// The reasons.
const (
	RefusedUnknownPayment RefusalReason = "unknown_payment" // not paid, as far as we know
	RefusedTooMuch        RefusalReason = "too_much"        // more than is left of the payment
	RefusedTooMany        RefusalReason = "too_many"        // MaxRefundsOfPayment
	RefusedTooLate        RefusalReason = "too_late"        // RefundableFor
	RefusedNumberTaken    RefusalReason = "number_taken"    // by another refund
	RefusedGiveUp         RefusalReason = "give_up"         // WeChat Pay has it, or may come to have it

	RefusedUnknownAnomaly RefusalReason = "unknown_anomaly" // nothing is odd about this money
	RefusedDecided        RefusalReason = "decided"         // otherwise, and that stands
	RefusedMoneyLeaves    RefusalReason = "money_leaves"    // or left: what is to be kept is not there
	RefusedNoRefund       RefusalReason = "no_refund"       // there is nothing that could be given back
)

// Refusal is why a wish about money was not granted; nothing changed.
type Refusal struct {
	Reason RefusalReason
	Detail string
}

func refuse(reason RefusalReason, format string, args ...any) Change {
	return Change{Refusal: &Refusal{Reason: reason, Detail: fmt.Sprintf(format, args...)}}
}
