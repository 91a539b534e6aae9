package session

import (
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/hex"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/fenflow/fenflow/pkg/pay"
)

const (
	issuer   = "fenflow"
	audience = "buyer"

	// kidBytes of a key's hash: enough to choose among a few keys. What it chooses
	// is proven by the signature alone.
	kidBytes = 8
)

// Claims are what a session says.
type Claims struct {
	AccountID pay.AccountID
	MchID     pay.MchID
	AppID     pay.AppID  // where the buyer logged in
	OpenID    pay.OpenID // the buyer, as that app sees them
	ID        string     // of this session; made by Sign where it is empty
	IssuedAt  time.Time  // whole seconds
	ExpiresAt time.Time  // whole seconds; from then on the session is refused
}

// wire is the payload of the token.
type wire struct {
	MchID  string `json:"mchid"`
	AppID  string `json:"appid"`
	OpenID string `json:"openid"`
	jwt.RegisteredClaims
}

// KeyID is how a token names the key that it was signed with.
func KeyID(key ed25519.PublicKey) string {
	sum := sha256.Sum256(key)
	return hex.EncodeToString(sum[:kidBytes])
}
