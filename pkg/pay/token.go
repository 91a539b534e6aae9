package pay

import "time"

// SealedToken is a value of WeChat's (an access token, a ticket) as the shelf
// keeps it: sealed by the worker, so that the database cannot read it.
type SealedToken struct {
	Sealed    []byte
	ExpiresAt time.Time
	Fence     int64 // of the lease under which it was stored
}
