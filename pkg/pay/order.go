package pay

import (
	"slices"
	"time"
)

// Client is the kind of front end that the buyer pays in.
type Client string

// The clients that an order can be placed for.
const (
	ClientJSAPI       Client = "jsapi"        // a page inside WeChat
	ClientMiniProgram Client = "mini_program" // a mini program
	ClientNative      Client = "native"       // a QR code on another screen
	ClientApp         Client = "app"          // an app of the merchant's own
	ClientH5          Client = "h5"           // a page in a browser on a phone, outside WeChat
)

// Clients lists them.
func Clients() []Client {
	return []Client{ClientJSAPI, ClientMiniProgram, ClientNative, ClientApp, ClientH5}
}

// Known says whether an order can be placed for this client.
func (c Client) Known() bool { return slices.Contains(Clients(), c) }

// NamesPayer says whether the buyer's openid is known, and needed, before the
// order is placed: inside WeChat. Elsewhere the buyer is known by paying.
func (c Client) NamesPayer() bool { return c == ClientJSAPI || c == ClientMiniProgram }

// Protocol is the generation of WeChat Pay's API that an order was made with.
type Protocol string

// The protocols.
const (
	ProtocolV3 Protocol = "v3"
	ProtocolV2 Protocol = "v2"
)

// Credential is what WeChat gave in answer to a prepay call. It runs out;
// the order does not.
type Credential struct {
	PrepayID  string // JSAPI, mini program and app
	CodeURL   string // Native
	H5URL     string // H5
	ExpiresAt time.Time
}

// Zero says whether there is no credential.
func (c Credential) Zero() bool { return c.PrepayID == "" && c.CodeURL == "" && c.H5URL == "" }

// Order is one order of a merchant as our books hold it.
type Order struct {
	MchID       MchID
	OutTradeNo  OutTradeNo
	AppID       AppID
	Client      Client
	Protocol    Protocol
	Description string
	Amount      Fen
	Currency    string
	OpenID      OpenID
	AccountID   AccountID // whose order it is, where the shop said so
	Attach      string
	Digest      string // hex SHA-256 of the command's meaning; same number, same digest: same order

	State     OrderState
	Sequence  int64 // grows by one with each history entry
	CreatedAt time.Time
	UpdatedAt time.Time
	ExpiresAt time.Time // last moment a buyer can pay

	Scene         Scene  // of an H5 order that has no PrepayRequest yet; not kept elsewhere
	PrepayRequest []byte // bytes of the prepay call, made once, sent unchanged each time
	Credential    Credential

	TransactionID TransactionID // the payment that paid it
	PaidAt        time.Time
	Late          bool
	ClosedAt      time.Time
	FailureCode   string // WeChat's code of a refusal
	FailureReason string // for people

	NextCheckAt      time.Time // when to ask WeChat; zero: never
	CheckAPI         API       // which call that is; empty means APIOrderQuery
	CloseCount       int       // closes that WeChat accepted
	CloseRequestedAt time.Time // the shop wants it closed before it expires
	CheckedAt        time.Time // when WeChat last answered a query
}

// Payment is one transaction of WeChat, whether or not it paid an order.
type Payment struct {
	MchID         MchID
	TransactionID TransactionID
	OutTradeNo    OutTradeNo
	Amount        Fen // amount.total: before coupons
	PayerTotal    Fen // what the buyer's purse paid; may be lower
	Currency      string
	OpenID        OpenID
	TradeType     string
	BankType      string
	PaidAt        time.Time
	ObservedAt    time.Time
	NotifiedAt    time.Time // when WeChat told of it by itself; zero: known by asking only

	// Refunded left for good, Reserved may leave (refunds that are not resolved).
	// Overrun is by how much the two exceed Amount: WeChat refunded more than we
	// knew of. Refunded + Reserved <= Amount + Overrun, always.
	Refunded Fen
	Reserved Fen
	Overrun  Fen
}
