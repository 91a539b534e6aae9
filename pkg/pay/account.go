package pay

import (
	"fmt"
	"regexp"
	"time"
)

// AccountID names an account of a merchant's buyers: a UUID, lower-case.
type AccountID string

// UnionID is what WeChat calls a person across all apps that are bound to one
// Open Platform account. Empty where an app is bound to none.
type UnionID string

var accountIDShape = regexp.MustCompile(`^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$`)

// ParseAccountID checks the shape of an account's number.
func ParseAccountID(s string) (AccountID, error) {
	if !accountIDShape.MatchString(s) {
		return "", fmt.Errorf("account_id must be a UUID in lower case, got %d bytes", len(s))
	}
	return AccountID(s), nil
}

// Account is one buyer of a merchant, whichever of its apps they came through.
type Account struct {
	MchID      MchID
	ID         AccountID
	UnionID    UnionID
	Nickname   string
	AvatarURL  string
	Phone      string // as WeChat tells it, with the country code where there is one
	Identities []Identity
	CreatedAt  time.Time
	UpdatedAt  time.Time
}

// Identity is what one app calls a buyer.
type Identity struct {
	AppID  AppID
	OpenID OpenID
	SeenAt time.Time // the last login
}

// AccountMatch is an account that an id leads to, and what the id is there:
// account_id, merged_account_id, openid or unionid.
type AccountMatch struct {
	MchID   MchID
	ID      AccountID
	FoundBy string
}

// BuyersOrders are a buyer's newest orders. Those that an openid of theirs paid are of
// all times; others, which were not paid or were paid by somebody else, are from
// OthersSince on, or of all times too where it is zero.
type BuyersOrders struct {
	Orders      []Order
	OthersSince time.Time
}
