package pay

import "time"

// LetterReason says why a message could not be settled.
type LetterReason string

// The reasons.
const (
	LetterBadSignature    LetterReason = "bad_signature"
	LetterDecryptFailed   LetterReason = "decrypt_failed"
	LetterMalformed       LetterReason = "malformed"
	LetterUnknownMerchant LetterReason = "unknown_merchant"
	LetterUnknownOrder    LetterReason = "unknown_order" // may come right by itself
	LetterMismatch        LetterReason = "mismatch"      // mchid, appid or currency
	LetterInternal        LetterReason = "internal"
)

// LetterReasons lists the reasons for a dead letter.
func LetterReasons() []LetterReason {
	return []LetterReason{
		LetterBadSignature, LetterDecryptFailed, LetterMalformed, LetterUnknownMerchant, LetterUnknownOrder, LetterMismatch, LetterInternal,
	}
}

// LetterState is where a dead letter stands.
type LetterState string

// The states of a letter.
const (
	LetterWaiting   LetterState = "waiting" // tried again by itself; opens after ten minutes
	LetterOpen      LetterState = "open"    // an operator is needed
	LetterReplaying LetterState = "replaying"
	LetterResolved  LetterState = "resolved"
	LetterDiscarded LetterState = "discarded"
)

// Letter is one delivery that could not be settled, with why.
type Letter struct {
	Delivery    Delivery
	Reason      LetterReason
	Detail      string
	State       LetterState
	Attempts    int
	FirstFailAt time.Time
	LastFailAt  time.Time
	NextRetryAt time.Time // of one that is waiting
	ResolvedAt  time.Time // of one that is resolved
}

// InitialState is waiting for what may come right by itself, else open.
func (r LetterReason) InitialState() LetterState {
	if r == LetterUnknownOrder {
		return LetterWaiting
	}
	return LetterOpen
}
