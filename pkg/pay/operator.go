package pay

import (
	"fmt"
	"regexp"
	"time"
)

// TokenRole is what the bearer of a token may do.
type TokenRole string

// The roles of tokens.
const (
	TokenRead    TokenRole = "read"    // sees everything, changes nothing
	TokenOperate TokenRole = "operate" // acts; every act is in the audit log
)

// ParseTokenRole checks that a role is known.
func ParseTokenRole(s string) (TokenRole, error) {
	switch role := TokenRole(s); role {
	case TokenRead, TokenOperate:
		return role, nil
	default:
		return "", fmt.Errorf("role must be %s or %s", TokenRead, TokenOperate)
	}
}

// tokenNameShape keeps names legible in the audit log and in a shell.
var tokenNameShape = regexp.MustCompile(`^[0-9A-Za-z][0-9A-Za-z._-]{0,63}$`)

// ParseTokenName checks the shape of a token's name.
func ParseTokenName(s string) (string, error) {
	if !tokenNameShape.MatchString(s) {
		return "", fmt.Errorf("name must be 1 to 64 of 0-9 A-Z a-z . _ - and begin with a letter or digit, got %d bytes", len(s))
	}
	return s, nil
}

// Token is an operator's way in. Its secret is shown once and kept nowhere.
type Token struct {
	ID         string // a UUID
	Name       string // unique among the tokens that are not revoked
	Role       TokenRole
	CreatedAt  time.Time
	CreatedBy  string
	RevokedAt  time.Time // zero: it lives
	LastUsedAt time.Time // to the minute; zero: never
}

// Match is an order that a number leads to, and what the number is there.
type Match struct {
	MchID      MchID
	OutTradeNo OutTradeNo
	FoundBy    string // one of the FoundBy words
}

// What a number that leads to an order can be.
const (
	FoundByOutTradeNo     = "out_trade_no"
	FoundByTransactionID  = "transaction_id"
	FoundByOutRefundNo    = "out_refund_no"
	FoundByRefundID       = "refund_id"
	FoundByDeliveryID     = "delivery_id"
	FoundByNotificationID = "notification_id"
	FoundByEventID        = "event_id"
)

// The kinds of moment.
const (
	MomentHistory  = "history"  // the books moved
	MomentDelivery = "delivery" // WeChat Pay sent a message
	MomentEvent    = "event"    // subscribers are told
	MomentLetter   = "letter"   // a message could not be settled
	MomentAudit    = "audit"    // an operator acted
)

// Moment is one thing that happened to an order; a field is empty where its
// kind has no such thing.
type Moment struct {
	At             time.Time
	Kind           string // one of the Moment words
	What           string // the history's own word, the delivery's kind, the event's fact, the letter's reason, the action
	Source         string
	From, To       string // of the order, or of the refund where the history is about one
	Sequence       int64  // of the order, after it
	TransactionID  TransactionID
	OutRefundNo    OutRefundNo
	DeliveryID     DeliveryID
	NotificationID string
	KeyID          string // the key that verified it
	EventID        string
	PublishedAt    time.Time // zero: the event is in the outbox
	StreamSequence uint64
	State          string // of a letter
	Actor          string
	Detail         string
}

// OrderFilter picks a page of orders, the newest first. After… is the last
// order of the page before; zero: the first page.
type OrderFilter struct {
	MchID      MchID      // empty: of every merchant
	State      OrderState // empty: any
	Since      time.Time  // created then or later
	Limit      int
	AfterAt    time.Time // its CreatedAt
	AfterMchID MchID
	AfterNo    OutTradeNo
}

// RefundFilter picks a page of refunds: those of a state, the newest first, or
// without one the unresolved ones and after them the others. After… is the last
// refund of the page before; zero: the first page.
type RefundFilter struct {
	MchID         MchID       // empty: of every merchant
	State         RefundState // empty: any
	Since         time.Time   // asked for then or later
	Limit         int
	AfterAt       time.Time // its CreatedAt
	AfterMchID    MchID
	AfterNo       OutRefundNo
	AfterResolved bool // it was resolved: the unresolved ones are told
}

// RefundMatch is a refund that a number leads to: its own, or WeChat's.
type RefundMatch struct {
	MchID       MchID
	OutRefundNo OutRefundNo
	OutTradeNo  OutTradeNo
	FoundBy     string // FoundByOutRefundNo or FoundByRefundID
}

// LetterFilter picks a page of letters, the oldest FirstFailAt first. After…
// is the last letter of the page before; zero: the first page. With IDs, the
// page is the letters of these, in any state, and nothing else counts.
type LetterFilter struct {
	IDs     []DeliveryID
	MchID   MchID        // empty: of every merchant
	Reason  LetterReason // empty: any
	State   LetterState  // empty: those that are not at an end
	Since   time.Time    // failed first then or later
	Limit   int
	AfterAt time.Time // its FirstFailAt
	AfterID DeliveryID
}

// LetterChoice says which open letters are settled again: those of IDs, or
// without any the oldest of those that the other fields leave.
type LetterChoice struct {
	IDs    []DeliveryID
	MchID  MchID        // empty: of every merchant
	Reason LetterReason // empty: any
	Since  time.Time    // failed first then or later
	Limit  int
}

// ArchiveFilter picks a page of archived notifications, the oldest first. AfterID
// is the last of the page before; empty: the first page.
type ArchiveFilter struct {
	MchID   MchID     // empty: of every merchant
	Since   time.Time // arrived then or later
	Until   time.Time // arrived before; zero: no end
	Limit   int
	AfterID DeliveryID
}

// Discard is a person's word that a letter needs nothing more.
type Discard struct {
	Actor  string
	Reason string
	At     time.Time
	Again  bool // it had been discarded before: what is given now is not kept
}

// AnomalyFilter picks a page of anomalies of one state, the oldest first. After
// is the last anomaly of the page before, its number and ObservedAt suffice;
// zero: the first page.
type AnomalyFilter struct {
	MchID MchID        // empty: of every merchant
	Kind  AnomalyKind  // empty: any
	State AnomalyState // empty: AnomalyOpen
	Since time.Time    // found then or later
	Limit int
	After Anomaly
}

// LetterGroup says how many letters of one merchant, reason and state there are.
type LetterGroup struct {
	MchID    MchID
	Reason   LetterReason
	State    LetterState
	Count    int
	OldestAt time.Time // when the oldest failed first
}

// AuditEntry says who did what. It is appended, never changed.
type AuditEntry struct {
	ID      string // a UUID
	At      time.Time
	MchID   MchID  // empty where the act is about no merchant
	Actor   string // such as "token:night-shift" or "policy"
	Action  string // such as "dead_letter.discard": the noun that Subject names, and what was done
	Subject string // the noun's number, id or name
	Detail  map[string]any
}

// AuditFilter picks a page of the audit log, the newest first. After… is the
// last entry of the page before; zero: the first page.
type AuditFilter struct {
	Since   time.Time
	Limit   int
	AfterAt time.Time
	AfterID string
}

// QueueAge is how many rows wait, and since when the oldest does; zero: none waits.
type QueueAge struct {
	Count    int
	OldestAt time.Time
}

// Overview is one screen of what matters, as of one moment.
type Overview struct {
	At             time.Time
	Gears          map[MchID]Gear // of the merchants that were judged
	Orders         QueueAge       // unresolved
	Refunds        QueueAge       // unresolved
	Letters        QueueAge       // that need an operator
	LettersWaiting QueueAge       // that are tried by themselves
	Outbox         QueueAge
	AnomaliesOpen  int
	Sweeps         map[string]time.Time // when a sweep of each kind last began
}
