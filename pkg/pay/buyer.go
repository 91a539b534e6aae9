package pay

// Buyer is whom a session names.
type Buyer struct {
	AccountID AccountID
	MchID     MchID
	AppID     AppID // where they logged in
	OpenID    OpenID
}
