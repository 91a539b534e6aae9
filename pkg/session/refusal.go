package session

// Reason is why a session is refused. The list is closed; it may be a metric's label.
type Reason string

// The reasons.
const (
	Malformed     Reason = "malformed"      // not a token at all
	TooLong       Reason = "too_long"       // more than 2 KiB
	Algorithm     Reason = "algorithm"      // anything but EdDSA
	UnknownKey    Reason = "unknown_key"    // its kid is none of the keys
	Signature     Reason = "signature"      // not signed with the key that it names
	WrongIssuer   Reason = "wrong_issuer"   // not ours
	WrongAudience Reason = "wrong_audience" // not for buyers
	ClaimMissing  Reason = "claim_missing"  // does not say all that it must
	Expired       Reason = "expired"        // log in again
	NotYetValid   Reason = "not_yet_valid"  // two clocks differ by more than 30 seconds
)

// Reasons lists them all.
func Reasons() []Reason {
	return []Reason{Malformed, TooLong, Algorithm, UnknownKey, Signature, WrongIssuer, WrongAudience, ClaimMissing, Expired, NotYetValid}
}

// RefusedError is the error of every session that is not taken.
type RefusedError struct {
	Reason Reason
}

// Error names the reason, and nothing of the token.
func (r *RefusedError) Error() string { return "session refused: " + string(r.Reason) }

func refused(why Reason) error { return &RefusedError{Reason: why} }
