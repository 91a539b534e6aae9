package simulator

import "time"

// OrderState is an order's state in the stand-in's ledger.
type OrderState string

// The states that this form of the stand-in has.
const (
	StateNotPaid OrderState = "notpay"
	StatePaid    OrderState = "success"
	StateClosed  OrderState = "closed"
)

// Order is one order as the platform knows it.
type Order struct {
	Mchid       string     `json:"mchid"`
	Appid       string     `json:"appid"`
	OutTradeNo  string     `json:"out_trade_no"`
	TradeType   string     `json:"trade_type"`
	State       OrderState `json:"state"`
	AmountFen   int64      `json:"amount_fen"`
	Description string     `json:"description"`
	Attach      string     `json:"attach,omitempty"`
	Openid      string     `json:"openid,omitempty"`
	NotifyURL   string     `json:"notify_url"`
	// Protocol says how the order was made and, unless told otherwise, is notified;
	// empty is v3. SignType and DeviceInfo belong to v2.
	Protocol   Protocol   `json:"protocol,omitempty"`
	SignType   SignType   `json:"sign_type,omitempty"`
	DeviceInfo string     `json:"device_info,omitempty"`
	CreatedAt  time.Time  `json:"created_at"`
	ExpiresAt  time.Time  `json:"expires_at"`
	ClosedAt   *time.Time `json:"closed_at,omitempty"`
	Payment    *Payment   `json:"payment,omitempty"`
	// RefundCount counts accepted refunds; from the first on, trade_state is REFUND.
	RefundCount int `json:"refund_count,omitempty"`
	// Credential is what was handed out last to pay with: prepay_id, code_url, h5_url.
	Credential   string    `json:"credential,omitempty"`
	CredentialAt time.Time `json:"credential_at,omitzero"`
	// Parameters is a digest of the first prepay's parameters.
	Parameters string `json:"parameters"`
}

// payable says whether a user could still pay.
func (o Order) payable(now time.Time) bool {
	return o.State == StateNotPaid && now.Before(o.ExpiresAt)
}

// Payment is money that moved, once.
type Payment struct {
	TransactionID string    `json:"transaction_id"`
	OutTradeNo    string    `json:"out_trade_no"`
	AmountFen     int64     `json:"amount_fen"`
	PayerFen      int64     `json:"payer_fen"`
	CouponFen     int64     `json:"coupon_fen"`
	Openid        string    `json:"openid"`
	PaidAt        time.Time `json:"paid_at"`
	// Late payments came after the order was closed or expired, Second ones after it
	// was paid: faults of the platform, and real money all the same.
	Late   bool `json:"late,omitempty"`
	Second bool `json:"second,omitempty"`
}

// Ledger is what really happened, in the order in which it did.
type Ledger struct {
	Mchid    string    `json:"mchid"`
	Orders   []Order   `json:"orders"`
	Payments []Payment `json:"payments"`
	Refunds  []Refund  `json:"refunds"`
}
