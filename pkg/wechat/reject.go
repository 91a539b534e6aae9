package wechat

import (
	"errors"
	"fmt"
)

// RejectReason says why something that claims to come from WeChat is not believed.
type RejectReason string

// The reasons.
const (
	RejectSignature RejectReason = "signature" // not signed with the key that we share with WeChat
	RejectDecrypt   RejectReason = "decrypt"   // no key of ours opens it
	RejectMalformed RejectReason = "malformed" // not of the documented shape
	RejectForeign   RejectReason = "foreign"   // genuine, and of another app
	RejectStale     RejectReason = "stale"     // genuine maybe, and too old or from the future
)

// RejectError is data that is not believed. Its text holds none of the data.
type RejectError struct {
	Reason RejectReason
	Detail string
}

// Error tells the reason.
func (e *RejectError) Error() string { return fmt.Sprintf("%s (%s)", e.Detail, e.Reason) }

// ReasonOf is the reason of the RejectError in a chain; empty without one.
func ReasonOf(err error) RejectReason {
	var e *RejectError
	if errors.As(err, &e) {
		return e.Reason
	}
	return ""
}

func reject(reason RejectReason, format string, args ...any) *RejectError {
	return &RejectError{Reason: reason, Detail: fmt.Sprintf(format, args...)}
}
