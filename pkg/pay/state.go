package pay

// OrderState is where an order stands. The words are the same in Go, SQL,
// JSON, metrics and docs.
type OrderState string

// The states of an order.
const (
	OrderCreated         OrderState = "created"          // ours; WeChat has not confirmed it yet
	OrderAwaitingPayment OrderState = "awaiting_payment" // WeChat gave a credential to pay with
	OrderPaid            OrderState = "paid"             // deliver: never goes back
	OrderClosed          OrderState = "closed"           // a verified answer said so
	OrderFailed          OrderState = "failed"           // WeChat refused it for good
)

// OrderTransition is one legal step of an order and what causes it.
type OrderTransition struct {
	From, To OrderState
	Cause    string
	Late     bool // the order is marked late
}

// OrderTransitions is the whole table. The database holds the same table in
// a trigger, and the diagram in the docs is drawn from it.
func OrderTransitions() []OrderTransition {
	return []OrderTransition{
		{From: OrderCreated, To: OrderAwaitingPayment, Cause: "prepared"},
		{From: OrderCreated, To: OrderFailed, Cause: "refused"},
		{From: OrderCreated, To: OrderClosed, Cause: "closed"},
		{From: OrderCreated, To: OrderPaid, Cause: "paid"},
		{From: OrderAwaitingPayment, To: OrderClosed, Cause: "closed"},
		{From: OrderAwaitingPayment, To: OrderPaid, Cause: "paid"},
		{From: OrderClosed, To: OrderPaid, Cause: "paid", Late: true},
		{From: OrderFailed, To: OrderPaid, Cause: "paid", Late: true},
	}
}

// CanMove says whether the table has a step between the two states.
func CanMove(from, to OrderState) bool {
	for _, t := range OrderTransitions() {
		if t.From == from && t.To == to {
			return true
		}
	}
	return false
}

// Open says whether the order can still change without late money.
func (s OrderState) Open() bool { return s == OrderCreated || s == OrderAwaitingPayment }

// RefundState is where a refund stands.
type RefundState string

// The states of a refund.
const (
	RefundRequested  RefundState = "requested"
	RefundProcessing RefundState = "processing"
	RefundSucceeded  RefundState = "succeeded"
	RefundClosed     RefundState = "closed"
	RefundAbnormal   RefundState = "abnormal"
	RefundFailed     RefundState = "failed"
)
