package pay

import "fmt"

// RefusalReason says why a wish about a refund was not granted.
type RefusalReason string

// The reasons.
const (
	RefusedUnknownPayment RefusalReason = "unknown_payment" // not paid, as far as we know
	RefusedTooMuch        RefusalReason = "too_much"        // more than is left of the payment
	RefusedTooMany        RefusalReason = "too_many"        // MaxRefundsOfPayment
	RefusedTooLate        RefusalReason = "too_late"        // RefundableFor
	RefusedNumberTaken    RefusalReason = "number_taken"    // by another refund
	RefusedGiveUp         RefusalReason = "give_up"         // WeChat Pay has it, or may come to have it
)

// Refusal is why a wish about a refund was not granted; nothing changed.
type Refusal struct {
	Reason RefusalReason
	Detail string
}

func refuse(reason RefusalReason, format string, args ...any) Change {
	return Change{Refusal: &Refusal{Reason: reason, Detail: fmt.Sprintf(format, args...)}}
}
