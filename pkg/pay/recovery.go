package pay

import "time"

// ToldEvent is an event as the EVENT stream holds it: what subscribers were
// told, and when.
type ToldEvent struct {
	Outgoing

	Sequence uint64
	StoredAt time.Time
}

// StoredCommand is a command as the COMMAND stream holds it.
type StoredCommand struct {
	Command

	Sequence uint64
	StoredAt time.Time
	Spoilt   string // why it cannot be read; empty for one that can
}

// OrderBook is everything about one order that decides what comes next.
type OrderBook struct {
	Order     Order
	Payments  map[TransactionID]Payment
	Refunds   map[OutRefundNo]Refund
	Anomalies []Anomaly
}

// RecoveryPhase is one walk of a recovery.
type RecoveryPhase string

// The phases, in their order.
const (
	RecoverEvents   RecoveryPhase = "events"   // what had been told is read back
	RecoverMessages RecoveryPhase = "messages" // notifications and commands, merged by time
	RecoverOrders   RecoveryPhase = "orders"   // what was told and is not in the books yet
	RecoveryDone    RecoveryPhase = "done"
)

// Stretch is a part of a stream: First to the message before Until, of which
// those before Next are done.
type Stretch struct {
	First uint64
	Next  uint64
	Until uint64
}

// Ended says whether nothing is left of it.
func (s Stretch) Ended() bool { return s.Next >= s.Until }

// RecoveryStretches are what a recovery walks.
type RecoveryStretches struct {
	Events        Stretch
	Notifications Stretch
	Commands      Stretch
	Orders        Stretch // the events once more
}

// RecoveryCounts are what a recovery did.
type RecoveryCounts struct {
	Events        int // that had been told and were not in the books
	Notifications int // settled again
	Orders        int // placed again
	Commands      int // whose outcome is recorded again
	CommandsKnown int // whose outcome the books knew
	CommandsLeft  int // to the live consumer, which has not acknowledged them
	Asked         int // questions to WeChat Pay
	Told          int // events that nobody had been told yet
	Problems      int
}

// Recovery is one run over what the broker kept since an instant.
type Recovery struct {
	ID         string // a UUID
	Since      time.Time
	Actor      string
	Reason     string
	Phase      RecoveryPhase
	Needed     bool // the books were restored: nobody moves them before it ends
	Superseded bool // given up: for one since earlier, or because the database was started anew
	Stretches  RecoveryStretches
	Counts     RecoveryCounts
	Problems   []RecoveryProblem // the first ones
	Tries      int               // how often this very place was begun
	Lease      string            // names who works on it
	StartedAt  time.Time
	FinishedAt time.Time // zero: it goes on
}

// MaxRecoveryProblems bounds those that are kept; Counts.Problems counts all.
const MaxRecoveryProblems = 200

// RecoveryProblem is what a person has to look at.
type RecoveryProblem struct {
	MchID       MchID
	OutTradeNo  OutTradeNo
	OutRefundNo OutRefundNo
	CommandID   CommandID
	Detail      string
}

// Trouble notes what a person has to look at.
func (r *Recovery) Trouble(p RecoveryProblem) {
	r.Counts.Problems++
	if len(r.Problems) < MaxRecoveryProblems {
		r.Problems = append(r.Problems, p)
	}
}

// BooksState says whether the books are those that fenflow last wrote.
type BooksState struct {
	Vouched    bool // a worker compared them with what had been told, in this life of the server
	Fresh      bool // nobody has ever compared them
	Recovering bool // a recovery that they need is not at its end
}
