package simulator

import (
	"fmt"
	"net/http"
)

// refusal is an error answer as WeChat Pay documents it. number is the internal
// code behind the dash of Request-Id, where one is known; log goes to the log line
// only: it may quote the request, which an answer must not.
type refusal struct {
	status  int
	code    string
	message string
	number  int
	detail  *refusalDetail
	log     []any
	signed  bool // the service itself refuses, and no fault keeps its signature back
}

// refusalDetail names the field at fault.
type refusalDetail struct {
	Field    string `json:"field,omitempty"`
	Value    any    `json:"value,omitempty"`
	Issue    string `json:"issue,omitempty"`
	Location string `json:"location,omitempty"`
}

func (r *refusal) Error() string { return fmt.Sprintf("%d %s: %s", r.status, r.code, r.message) }

// Internal numbers, as integrators meet them in Request-Id.
const (
	numberUnknownField = 270924358
	numberReentry      = 268498688
	numberPaid         = 268498689
	numberClosePaid    = 268449538
	numberClosed       = 268447914
)

func signError(message string, log ...any) *refusal {
	return &refusal{status: http.StatusUnauthorized, code: "SIGN_ERROR", message: message, log: log,
		detail: &refusalDetail{Location: "authorization", Issue: message}}
}

func paramError(field, issue string) *refusal {
	return &refusal{status: http.StatusBadRequest, code: "PARAM_ERROR", message: field + " " + issue,
		detail: &refusalDetail{Field: field, Issue: issue, Location: "body"}}
}

func requestError(location, issue string) *refusal {
	return &refusal{status: http.StatusBadRequest, code: "PARAM_ERROR", message: issue,
		detail: &refusalDetail{Issue: issue, Location: location}}
}

func invalidRequest(number int, message string) *refusal {
	return &refusal{status: http.StatusBadRequest, code: "INVALID_REQUEST", message: message, number: number}
}

func orderPaid(number int) *refusal {
	return &refusal{status: http.StatusBadRequest, code: "ORDERPAID", message: "the order is paid", number: number}
}

func orderClosed() *refusal {
	return &refusal{status: http.StatusBadRequest, code: "ORDER_CLOSED", number: numberClosed,
		message: "the order is closed or expired; use a new out_trade_no"}
}

func orderUnknown() *refusal {
	return &refusal{status: http.StatusNotFound, code: "ORDER_NOT_EXIST", message: "the order does not exist"}
}
