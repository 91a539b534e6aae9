package pay

import "time"

// CommandKind is a noun and an imperative, such as "order.create".
type CommandKind string

// The commands.
const (
	CommandOrderCreate  CommandKind = "order.create"
	CommandOrderClose   CommandKind = "order.close"
	CommandRefundCreate CommandKind = "refund.create"
	CommandRefundGiveUp CommandKind = "refund.give_up" // of operators alone

	CommandAnomalyAccept CommandKind = "anomaly.accept" // of an operator
	CommandAnomalyRefund CommandKind = "anomaly.refund" // of an operator
)

// Command is one request of a shop or an operator, on its way to the worker.
type Command struct {
	ID          CommandID
	MchID       MchID
	Kind        CommandKind
	OutTradeNo  OutTradeNo  // may be empty for a refund that names its payment by transaction_id
	OutRefundNo OutRefundNo // of the commands about a refund
	Digest      string      // hex SHA-256 of what the command means
	Body        []byte      // JSON
	ReceivedAt  time.Time
	Deadline    time.Time // past it the command is recorded as expired and WeChat is not called
	Reply       string    // the caller's inbox; empty: nobody waits
	TraceParent string
}

// CommandOutcome is how a command ended.
type CommandOutcome string

// The outcomes of a command. The last two are not final for the number: the
// shop repeats the same command.
const (
	CommandDone        CommandOutcome = "done"        // carried out, now or before
	CommandConflict    CommandOutcome = "conflict"    // the number is taken by another order
	CommandRefused     CommandOutcome = "refused"     // WeChat or we refused it for good
	CommandExpired     CommandOutcome = "expired"     // reached the worker too late; WeChat was not called
	CommandUnavailable CommandOutcome = "unavailable" // WeChat's answer is unknown
)

// CommandResult is a command's end, as the commands table and the reply hold it.
type CommandResult struct {
	ID          CommandID
	MchID       MchID
	Kind        CommandKind
	OutTradeNo  OutTradeNo
	OutRefundNo OutRefundNo
	Digest      string
	Outcome     CommandOutcome
	Status      int    // HTTP status for the shop
	Body        []byte // JSON for the shop: the order or a problem
	ReceivedAt  time.Time
	FinishedAt  time.Time
}

// RecoveredCommand is a command from before a restore, with what is known of it.
type RecoveredCommand struct {
	Command

	// ToldAt is when subscribers were told that its number was given an order or a
	// refund, or, of other commands about a refund, that it had failed; zero: they
	// were not.
	ToldAt time.Time
	// Of the refund that they were told of. It may be another one under the number
	// of one that had been refused.
	ToldTransaction TransactionID
	ToldAmount      Fen
}

// CommandRecovery is how a recovered command ended.
type CommandRecovery struct {
	Result  CommandResult
	Known   bool   // the books knew it already
	Asked   int    // questions to WeChat Pay
	Trouble string // what a person has to look at; empty: nothing
}
