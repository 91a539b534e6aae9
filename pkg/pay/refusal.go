package pay

import "fmt"

// RefusalReason says why a requested refund was not taken.
type RefusalReason string

// The reasons.
const (
	RefusedUnknownPayment RefusalReason = "unknown_payment" // not paid, as far as we know
	RefusedTooMuch        RefusalReason = "too_much"        // more than is left of the payment
	RefusedTooMany        RefusalReason = "too_many"        // MaxRefundsOfPayment
	RefusedTooLate        RefusalReason = "too_late"        // RefundableFor
	RefusedNumberTaken    RefusalReason = "number_taken"    // by another refund
)

// Refusal is why a requested refund was not taken; nothing changed.
type Refusal struct {
	Reason RefusalReason
	Detail string
}

func refuse(reason RefusalReason, format string, args ...any) Change {
	return Change{Refusal: &Refusal{Reason: reason, Detail: fmt.Sprintf(format, args...)}}
}
