package pay

import (
	"errors"
	"fmt"
)

// ErrBusy says that a row was held by somebody else for longer than was to be waited.
var ErrBusy = errors.New("somebody else holds a row that is needed")

// MovedError is an order that is not as it was expected, so that nothing was done.
type MovedError struct {
	Order    OrderKey
	Expected int64 // its sequence; 0: no such order
	Actual   int64
	Unasked  bool // nothing was expected of it: the message named no order before
}

// Error says which order, and both sequences.
func (e *MovedError) Error() string {
	what := fmt.Sprintf("order %s of merchant %s", e.Order.OutTradeNo, e.Order.MchID)
	switch {
	case e.Unasked:
		return fmt.Sprintf("%s was in no message of the dry run, and is now; its sequence is %d", what, e.Actual)
	case e.Expected == 0:
		return fmt.Sprintf("%s was not in the books, and has sequence %d now", what, e.Actual)
	case e.Actual == 0:
		return fmt.Sprintf("%s had sequence %d, and is not in the books now", what, e.Expected)
	}
	return fmt.Sprintf("%s had sequence %d, and has %d now", what, e.Expected, e.Actual)
}

// DiscardedError is a delivery whose letter a person discarded meanwhile, so that
// nothing was done.
type DiscardedError struct{ Delivery DeliveryID }

// Error names the delivery.
func (e *DiscardedError) Error() string { return "dead letter " + string(e.Delivery) + " is discarded" }
