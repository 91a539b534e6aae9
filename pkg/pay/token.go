package pay

import "time"

// SealedToken is a value of WeChat's (an access token, a ticket) as the shelf
// keeps it: sealed by the worker, so that the database cannot read it.
type SealedToken struct {
	Sealed    []byte
	ExpiresAt time.Time
	// Fence is that of the newest lease of the row. Under a lease that has not stored yet
	// it is above that of the value's own.
	Fence int64
}
