package pay

import "time"

// API is a call of WeChat Pay that has a budget of its own, per merchant.
type API string

// The calls with budgets.
const (
	APIOrderQuery     API = "order_query"
	APIOrderClose     API = "order_close"
	APIRefund         API = "refund"
	APIRefundQuery    API = "refund_query"
	APIRefundAbnormal API = "refund_abnormal"
)

// Gear is how often the unresolved orders of a merchant are asked about.
type Gear string

// The gears.
const (
	GearTight   Gear = "tight"   // notifications are missing, or nothing is known of them yet
	GearRelaxed Gear = "relaxed" // they arrive
)

// Budget is how many calls of one API a merchant may make. It is a bucket that
// fills with PerSecond tokens a second and holds those of a fifth of a second:
// in any t seconds at most PerSecond × (t + 0.2) calls begin.
type Budget struct {
	API       API
	PerSecond int
}

// OrderClaim are orders that a reconciler holds until Lease ends, each with a
// token of the budget taken.
type OrderClaim struct {
	Orders []Order
	Lease  time.Time // names the claim; what was claimed is due again then
	More   bool      // the limit or the budget cut it short
}

// OrderPlan says when a claimed order is looked at next. It counts only while
// the claim's lease stands and the order is unresolved: what became due in
// between stays due.
type OrderPlan struct {
	MchID       MchID
	OutTradeNo  OutTradeNo
	Lease       time.Time
	NextCheckAt time.Time
	CheckAPI    API
	CloseCount  int
	CheckedAt   time.Time // zero: as it was
}

// RefundClaim are refunds that a reconciler holds until Lease ends, each with a
// token of the budget taken.
type RefundClaim struct {
	Refunds []ClaimedRefund
	Lease   time.Time
	More    bool
}

// ClaimedRefund is a refund with what a call about it needs to know.
type ClaimedRefund struct {
	Refund
	AppID           AppID    // of its order
	Protocol        Protocol // of its order
	Total           Fen      // of its payment
	Attempts        []Attempt
	AbnormalRequest []byte // an operator's wish to drive it on
	AbnormalKeyID   string
}

// AttemptStart asks to begin a call that sends a refund.
type AttemptStart struct {
	MchID       MchID
	OutRefundNo OutRefundNo
	Lease       time.Time
	Request     []byte        // kept if the refund has no bytes yet; otherwise the kept ones count
	Gap         time.Duration // between refunds of one payment
	MinLease    time.Duration // how much of the lease must be left
}

// AttemptBegun says that the attempt is on disk and the call may start, or
// when to try again.
type AttemptBegun struct {
	Begun     bool
	Number    int
	Request   []byte    // what to send
	WaitUntil time.Time // of one that may not begin; zero: the lease is lost or too short
}

// RefundPlan says when a claimed refund is looked at next, and ends its lease.
type RefundPlan struct {
	MchID         MchID
	OutRefundNo   OutRefundNo
	Lease         time.Time
	NextCheckAt   time.Time
	CheckAPI      API
	CheckCount    int
	FailureCode   string // of the last answer, for people; empty: none
	FailureReason string
}

// ClaimedHint is a refund number to be asked about.
type ClaimedHint struct {
	RefundHint
	AppID      AppID // of its order; empty where we have none
	CheckCount int
	Lease      time.Time
}

// Backlog is what the unresolved orders of a merchant ask of its budget.
type Backlog struct {
	Young int // awaiting payment, younger than 15 minutes
	Old   int // the other unresolved ones
	Due   int // whose time has come
}
