package wechat

import (
	"errors"
	"fmt"
)

// Class says what a refusal of WeChat's means for whoever called.
type Class string

// The classes.
const (
	ClassRetry       Class = "retry"          // WeChat is busy or was not reached; the same call may work later
	ClassToken       Class = "token"          // the token of this call is not valid any more
	ClassCodeSpent   Class = "code_spent"     // the login code was used before
	ClassCodeInvalid Class = "code_invalid"   // the login code is not WeChat's, of another app, or too old
	ClassSecret      Class = "secret"         // the AppSecret is not this app's
	ClassAddress     Class = "ip_not_allowed" // our address is not in the app's allow-list
	ClassTooOften    Class = "too_often"      // a limit of calls is reached
	ClassRiskUser    Class = "risk_user"      // WeChat takes the user for a risk
	ClassOther       Class = "other"          // a refusal that a repeat does not change
)

// Codes of WeChat's that something depends on (developers.weixin.qq.com,
// global return codes).
const (
	codeBusy            = -1
	codeCredential      = 40001
	codeOpenID          = 40003
	codeAccessToken     = 40014
	codeLoginCode       = 40029
	codeRefreshToken    = 40030
	codeSecret          = 40125
	codeLoginCodeUsed   = 40163
	codeAddress         = 40164
	codeRiskUser        = 40226
	codeLoginCodeAbsent = 41008
	codeTokenExpired    = 42001
	codeRefreshExpired  = 42002
	codeDailyLimit      = 45009
	codeMinuteLimit     = 45011
	codeNoMenu          = 46003
)

// APIError is a call to WeChat that did not succeed. Its text never holds a
// secret, a token, a code or a session key.
type APIError struct {
	API     string // the call, such as "oauth2_access_token"
	Status  int    // of HTTP; 0 where no answer came
	Code    int    // WeChat's errcode; 0 where there was none
	Message string // WeChat's errmsg or what happened, cleaned
	Class   Class
	cause   error // context.Canceled or context.DeadlineExceeded, or nil
}

// Error names the call, the code and the reason.
func (e *APIError) Error() string {
	switch {
	case e.Code != 0:
		return fmt.Sprintf("wechat %s: errcode %d, %s (%s)", e.API, e.Code, e.Message, e.Class)
	case e.Status != 0:
		return fmt.Sprintf("wechat %s: HTTP %d, %s (%s)", e.API, e.Status, e.Message, e.Class)
	}
	return fmt.Sprintf("wechat %s: %s (%s)", e.API, e.Message, e.Class)
}

// Unwrap tells a cancelled call from one that ran out of time.
func (e *APIError) Unwrap() error { return e.cause }

// ClassOf is the class of the APIError in a chain; empty without one.
func ClassOf(err error) Class {
	var e *APIError
	if errors.As(err, &e) {
		return e.Class
	}
	return ""
}

// codeOf is WeChat's errcode of the APIError in a chain, or 0.
func codeOf(err error) int {
	var e *APIError
	if errors.As(err, &e) {
		return e.Code
	}
	return 0
}

// classOf reads WeChat's code. Where a call carries the AppSecret, 40001 is
// about the secret; elsewhere it is about the token.
func classOf(code int, carriesSecret bool) Class {
	switch code {
	case codeBusy:
		return ClassRetry
	case codeCredential:
		if carriesSecret {
			return ClassSecret
		}
		return ClassToken
	case codeAccessToken, codeTokenExpired, codeRefreshExpired, codeRefreshToken:
		return ClassToken
	case codeLoginCodeUsed:
		return ClassCodeSpent
	case codeLoginCode, codeLoginCodeAbsent:
		return ClassCodeInvalid
	case codeSecret:
		return ClassSecret
	case codeAddress:
		return ClassAddress
	case codeDailyLimit, codeMinuteLimit:
		return ClassTooOften
	case codeRiskUser:
		return ClassRiskUser
	}
	return ClassOther
}
