package problem

// Kind is one way in which something can go wrong. The list is closed: a kind
// has exactly one row in the table, and a row exactly one code.
type Kind string

// The kinds. Configuration and start (FEN-1xxx).
const (
	Config            Kind = "config"
	SecretUnreadable  Kind = "secret_unreadable"
	MigrationsPending Kind = "migrations_pending"
	NotDurable        Kind = "not_durable"
	Usage             Kind = "usage"
	MigrationFailed   Kind = "migration_failed"
)

// Notifications of WeChat Pay (FEN-2xxx).
const (
	UnknownMerchant   Kind = "unknown_merchant"
	BadNotification   Kind = "bad_notification"
	StaleTimestamp    Kind = "stale_timestamp"
	SignatureRejected Kind = "signature_rejected"
	UnknownKey        Kind = "unknown_key"
	NoKeys            Kind = "no_keys"
	DecryptFailed     Kind = "decrypt_failed"
	Mismatch          Kind = "mismatch"
	UnknownOrder      Kind = "unknown_order"
)

// Buyers at the front door (FEN-201x).
const (
	UnknownApp      Kind = "unknown_app"
	ReturnRefused   Kind = "return_refused"
	LoginStateLost  Kind = "login_state_lost"
	LoginDeclined   Kind = "login_declined"
	SessionRejected Kind = "session_rejected"
	NoSessionKeys   Kind = "no_session_keys"
	PageRefused     Kind = "page_refused"
)

// Requests of shops (FEN-3xxx).
const (
	Invalid          Kind = "invalid"
	Malformed        Kind = "malformed"
	Unauthorized     Kind = "unauthorized"
	NotFound         Kind = "not_found"
	MethodNotAllowed Kind = "method_not_allowed"
	TooLarge         Kind = "too_large"
	UnsupportedMedia Kind = "unsupported_media"
)

// Buyers at the front door, and WeChat behind it (FEN-3xxx, too).
const (
	LoginCodeRefused  Kind = "login_code_refused"
	BuyerRefused      Kind = "buyer_refused"
	AppRefused        Kind = "app_refused"
	WeChatUnavailable Kind = "wechat_unavailable"
	NotFromWeChat     Kind = "not_from_wechat"
)

// Requests of operators (FEN-3xxx, too).
const (
	Forbidden         Kind = "forbidden"
	TooManyRequests   Kind = "too_many_requests"
	TokenRejected     Kind = "token_rejected"
	UnknownNumber     Kind = "unknown_number"
	UnknownLetter     Kind = "unknown_letter"
	UnknownToken      Kind = "unknown_token"
	BooksRestored     Kind = "books_restored"
	UnknownDelivery   Kind = "unknown_delivery"
	UnknownSubscriber Kind = "unknown_subscriber"
	UnknownSample     Kind = "unknown_sample"
	UnknownAnomaly    Kind = "unknown_anomaly"
	UnknownRefund     Kind = "unknown_refund"
	BeyondEnd         Kind = "beyond_end"
)

// Outcomes of commands (FEN-4xxx).
const (
	Conflict          Kind = "conflict"
	Refused           Kind = "refused"
	Expired           Kind = "expired"
	Unavailable       Kind = "unavailable"
	NumberInUse       Kind = "number_in_use"
	OrderPaid         Kind = "order_paid"
	NotPaid           Kind = "not_paid"
	RefundNumberTaken Kind = "refund_number_taken"
	RefundExceeds     Kind = "refund_exceeds"
	NotAbnormal       Kind = "not_abnormal"
	DriveUnderWay     Kind = "drive_under_way"
	AmbiguousNumber   Kind = "ambiguous_number"
	LetterSettled     Kind = "letter_settled"
	TokenNameTaken    Kind = "token_name_taken"
	NotReplayable     Kind = "not_replayable"
	OrderMoved        Kind = "order_moved"
	RowsBusy          Kind = "rows_busy"
	SinceTooLate      Kind = "since_too_late"
	AnomalyDecided    Kind = "anomaly_decided"
	MoneyLeaves       Kind = "money_leaves"
	AmbiguousAnomaly  Kind = "ambiguous_anomaly"
	SubscriberTaken   Kind = "subscriber_taken"
	NKeyTaken         Kind = "nkey_taken"
	SubscriberBehind  Kind = "subscriber_behind"
	RetryRefused      Kind = "retry_refused"
	GiveUpRefused     Kind = "give_up_refused"
	AmbiguousRefund   Kind = "ambiguous_refund"
	PaidAlready       Kind = "paid_already"
	OrderOver         Kind = "order_over"
	OrderRanOut       Kind = "order_ran_out"
	NotPayableYet     Kind = "not_payable_yet"
	NoQRCode          Kind = "no_qr_code"
)

// Logins of buyers (FEN-4xxx, too).
const (
	SnapshotUser  Kind = "snapshot_user"
	TicketGone    Kind = "ticket_gone"
	VerifierWrong Kind = "verifier_wrong"
	AppNotReady   Kind = "app_not_ready"
	NoProfile     Kind = "no_profile"
)

// Server messages of WeChat, and menus (FEN-4xxx, too).
const (
	MessageForged     Kind = "message_forged"
	MessageUnreadable Kind = "message_unreadable"
	MessageInPlain    Kind = "message_in_plain"
	NoMessages        Kind = "no_messages"
	NoMenu            Kind = "no_menu"
	MenuRefused       Kind = "menu_refused"

	UnknownAccount   Kind = "unknown_account"
	AmbiguousAccount Kind = "ambiguous_account"
)

// What fenflow leans on (FEN-5xxx).
const (
	BrokerUnavailable   Kind = "broker_unavailable"
	DatabaseUnavailable Kind = "database_unavailable"
	NoWorker            Kind = "no_worker"
	Unhealthy           Kind = "unhealthy"
)

// Internal is a fault of fenflow itself, and what any error is that nobody
// gave a kind (FEN-9001).
const Internal Kind = "internal"

// Disposition says what becomes of a message whose handling ended this way.
type Disposition string

// The dispositions.
const (
	Ack        Disposition = "ack"         // an outcome: done with it
	Retry      Disposition = "retry"       // comes again by itself
	DeadLetter Disposition = "dead_letter" // kept for an operator
)

// The exit codes of every program of fenflow.
const (
	ExitOK          = 0
	ExitInternal    = 1
	ExitUsage       = 2
	ExitConfig      = 3
	ExitNotFound    = 4
	ExitRefused     = 5
	ExitDenied      = 6
	ExitUnavailable = 7
	ExitPending     = 8
)

// Entry is one row of the table.
type Entry struct {
	Kind        Kind
	Code        string // stable, such as "FEN-2004"
	Title       string
	NextStep    string
	Status      int // HTTP
	Disposition Disposition
	ExitCode    int
}

// Entry gives the kind's row; an unknown kind is an internal error.
func (k Kind) Entry() Entry {
	rows := Table()
	for _, e := range rows {
		if e.Kind == k {
			return e
		}
	}
	return rows[len(rows)-1]
}

// Code is the stable code, such as "FEN-2004".
func (k Kind) Code() string { return k.Entry().Code }

// Status is the HTTP status.
func (k Kind) Status() int { return k.Entry().Status }

// ByCode finds the row of a code.
func ByCode(code string) (Entry, bool) {
	for _, e := range Table() {
		if e.Code == code {
			return e, true
		}
	}
	return Entry{}, false
}
