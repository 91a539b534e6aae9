package pay

import "time"

// SealedToken is a token of WeChat's as it is kept: encrypted, and readable by
// workers alone. The fence counts the leases under which it was fetched.
type SealedToken struct {
	Sealed    []byte
	ExpiresAt time.Time
	Fence     int64
}
