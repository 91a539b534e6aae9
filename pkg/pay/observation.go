package pay

import "time"

// ObservationKind is what somebody's word means for an order.
type ObservationKind string

// The kinds of observation.
const (
	ObservedPaid     ObservationKind = "paid"     // money moved
	ObservedOpen     ObservationKind = "open"     // not paid yet
	ObservedClosed   ObservationKind = "closed"   // cannot be paid any more
	ObservedPrepared ObservationKind = "prepared" // WeChat gave a credential
	ObservedRefused  ObservationKind = "refused"  // WeChat refused the order for good

	ObservedRefundRequested ObservationKind = "refund_requested" // our side wants money to go back
	ObservedRefund          ObservationKind = "refund"           // where WeChat sees a refund
	ObservedRefundMissing   ObservationKind = "refund_missing"   // WeChat verifiably has no refund under this number

	ObservedDecision ObservationKind = "decision" // an operator's word about money that does not fit
)

// Source says where an observation comes from.
type Source string

// The sources.
const (
	SourceCommand      Source = "command"      // a shop's command and its call to WeChat
	SourceNotification Source = "notification" // WeChat told us
	SourceQuery        Source = "query"        // we asked WeChat
	SourceCall         Source = "call"         // WeChat answered a call that was to move something
	SourcePolicy       Source = "policy"       // the merchant's rule for money that does not fit
	SourceOperator     Source = "operator"     // a person decided
	SourceEvent        Source = "event"        // we had told subscribers, and read it back after a restore
)

// Observation is what one verified message says about one order, whatever
// its source. Settling is a function of the books and an observation.
type Observation struct {
	Kind       ObservationKind
	Source     Source
	ObservedAt time.Time // when we learned of it
	DeliveryID DeliveryID
	KeyID      string // serial or id of the key that verified it
	Act        *Act   // of SourceOperator: what goes into the audit log, if the books take it

	MchID      MchID
	AppID      AppID // empty where the message has none
	OutTradeNo OutTradeNo

	// Of ObservedPaid.
	TransactionID TransactionID
	Amount        Fen // amount.total
	PayerTotal    Fen
	Currency      string
	PaidAt        time.Time
	OpenID        OpenID
	TradeType     string
	BankType      string

	// Of ObservedPrepared.
	Credential Credential

	// Of ObservedRefused.
	Code   string
	Reason string // of ObservedRefundRequested: shown to the buyer

	// Of the refund kinds. TransactionID and Currency are used as well.
	OutRefundNo     OutRefundNo
	RefundAmount    Fen
	RefundState     RefundState // of ObservedRefund: processing, succeeded, closed or abnormal
	RefundID        string
	SucceededAt     time.Time
	ReceivedAccount string
	DrivenOn        bool          // of ObservedRefund: the answer to the call that drives an abnormal refund on
	Origin          RefundOrigin  // of ObservedRefundRequested
	Digest          string        // of ObservedRefundRequested
	AskFirst        bool          // of what leads to a new refund: WeChat may have it already, and is asked before it is sent
	AskedAt         time.Time     // of ObservedRefundMissing: when the question was sent
	Quarantine      time.Duration // of ObservedRefundMissing: see MayFail

	// Of ObservedDecision. TransactionID names the payment, OutRefundNo the refund
	// that went over where the anomaly is one, Reason is the operator's own.
	Decision    Decision
	AnomalyKind AnomalyKind
	Actor       string
}
