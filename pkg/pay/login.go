package pay

import "time"

// Buyer is whom a session names.
type Buyer struct {
	AccountID AccountID
	MchID     MchID
	AppID     AppID // where they logged in
	OpenID    OpenID
}

// Arrival is a buyer whom WeChat has just told of, with what it told. What is
// empty was not told, and stays as it is known.
type Arrival struct {
	MchID     MchID
	AppID     AppID
	OpenID    OpenID
	UnionID   UnionID
	Nickname  string
	AvatarURL string
	Phone     string
	Grant     Grant
	At        time.Time
	LoggedIn  bool // they came themselves; false: somebody asked about them
}

// Grant is what WeChat gave for asking about a buyer, as it is kept: encrypted,
// and readable by workers alone.
type Grant struct {
	Sealed    []byte // nil: there is none
	Scope     string
	ExpiresAt time.Time // of its access token; the refresh token in it lives for 30 days
}

// GrantedIdentity is how an app knows a buyer, and what it may ask.
type GrantedIdentity struct {
	Identity

	Grant Grant
}

// LoginTicket is a login that WeChat has confirmed, until the page that began it
// takes it up.
type LoginTicket struct {
	Sum       [32]byte // SHA-256 of the ticket
	Buyer     Buyer
	Challenge string // base64url of the SHA-256 of what the page alone knows
	ExpiresAt time.Time
}

// TicketOutcome is what became of a ticket that somebody wanted to spend.
type TicketOutcome string

// The outcomes.
const (
	TicketSpent   TicketOutcome = "spent"   // by this caller, and by nobody else
	TicketGone    TicketOutcome = "gone"    // spent before, run out, or never given
	TicketForeign TicketOutcome = "foreign" // another page's; it stays what it was
)
