package wechatpay

import (
	"errors"
	"fmt"

	"github.com/fenflow/fenflow/pkg/pay"
)

// RejectReason says why an envelope or an answer is not believed.
type RejectReason string

// The reasons.
const (
	ReasonMissingHeader   RejectReason = "missing_header"
	ReasonMalformedHeader RejectReason = "malformed_header"
	ReasonTimestamp       RejectReason = "timestamp"      // off by 300 s or more
	ReasonUnknownSerial   RejectReason = "unknown_serial" // also: known, and not valid at that time
	ReasonBadSignature    RejectReason = "bad_signature"
	ReasonDecryptFailed   RejectReason = "decrypt_failed"
	ReasonMalformed       RejectReason = "malformed"
	ReasonBodyTooLarge    RejectReason = "body_too_large"
	ReasonUnknownMerchant RejectReason = "unknown_merchant" // no credentials for it
	ReasonMismatch        RejectReason = "mismatch"         // genuine, and about another merchant
)

// RejectReasons lists them all.
func RejectReasons() []RejectReason {
	return []RejectReason{
		ReasonMissingHeader, ReasonMalformedHeader, ReasonTimestamp, ReasonUnknownSerial, ReasonBadSignature,
		ReasonDecryptFailed, ReasonMalformed, ReasonBodyTooLarge, ReasonUnknownMerchant, ReasonMismatch,
	}
}

// VerifyError says why something from outside is not believed, and what to
// look at next. It never holds any of the body.
type VerifyError struct {
	Reason RejectReason
	Serial string // the serial or key id that was named, where it has a plausible shape
	Detail string
}

func (e *VerifyError) Error() string { return string(e.Reason) + ": " + e.Detail }

func reject(reason RejectReason, format string, args ...any) *VerifyError {
	return &VerifyError{Reason: reason, Detail: fmt.Sprintf(format, args...)}
}

// ReasonOf finds the reason in an error; it is empty where there is none.
func ReasonOf(err error) RejectReason {
	var e *VerifyError
	if errors.As(err, &e) {
		return e.Reason
	}
	return ""
}

// LetterCauseOf says what letter an envelope becomes that Open refused.
func LetterCauseOf(err error) pay.LetterCause {
	cause := pay.LetterCause{Reason: pay.LetterInternal, Detail: err.Error()}
	switch ReasonOf(err) {
	case ReasonMissingHeader, ReasonMalformedHeader, ReasonTimestamp, ReasonUnknownSerial, ReasonBadSignature:
		cause.Reason = pay.LetterBadSignature
	case ReasonDecryptFailed:
		cause.Reason = pay.LetterDecryptFailed
	case ReasonMalformed, ReasonBodyTooLarge:
		cause.Reason = pay.LetterMalformed
	case ReasonUnknownMerchant:
		cause.Reason = pay.LetterUnknownMerchant
	case ReasonMismatch:
		cause.Reason = pay.LetterMismatch
	}
	return cause
}
