package simulator

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"

	"github.com/go-chi/chi/v5"
)

// consoleRefundPrefix marks the numbers that the merchant's console gives.
const consoleRefundPrefix = "console"

// RefundOutcome ends a refund, as /control wants it.
type RefundOutcome struct {
	// Status is SUCCESS, CLOSED or ABNORMAL. PROCESSING, only for a refund yet to be
	// asked for, leaves it there until told otherwise.
	Status RefundStatus `json:"status"`
	// Notify is v3, v2 or none; empty is the protocol that the refund was asked by.
	Notify     Protocol `json:"notify,omitempty"`
	NotifyURL  string   `json:"notify_url,omitempty"`
	Duplicates int      `json:"duplicates,omitempty"`
}

func (o RefundOutcome) check() error {
	var problems []error
	refuse := func(wrong bool, format string, args ...any) {
		if wrong {
			problems = append(problems, fmt.Errorf(format, args...))
		}
	}
	refuse(oneOf(string(RefundSuccess), string(RefundClosed), string(RefundAbnormal), string(RefundProcessing))(string(o.Status)) != "",
		"status must be SUCCESS, CLOSED or ABNORMAL (PROCESSING for a refund yet to come)")
	refuse(o.Notify != "" && o.Notify != ProtocolV3 && o.Notify != ProtocolV2 && o.Notify != ProtocolNone, "notify must be v3, v2 or none")
	refuse(o.Duplicates < 0 || o.Duplicates > maxRepeats, "duplicates must be between 0 and %d", maxRepeats)
	if o.NotifyURL != "" {
		issue := notifyURLIssue(o.NotifyURL)
		refuse(issue != "", "notify_url %s", issue)
	}
	return errors.Join(problems...)
}

// SettleRefund gives a refund its outcome now: PROCESSING may become anything,
// ABNORMAL may still succeed or close. The outcome of a refund that nobody has asked
// for yet is kept for it (planned is true).
func (s *Simulator) SettleRefund(outRefundNo string, o RefundOutcome) (r Refund, planned bool, err error) {
	if err := o.check(); err != nil {
		return Refund{}, false, fmt.Errorf("%w: %w", errBadPayRequest, err)
	}
	next := o.Status
	if next == RefundProcessing {
		next = ""
	}
	if planned, err := s.books.plan(refundPlan{outRefundNo, next}); planned || err != nil {
		return Refund{}, planned, err
	}
	r, err = s.turn(outRefundNo, refundNotice{o.Notify, o.NotifyURL, o.Duplicates}, func(now Refund) (refundTurn, error) {
		open := now.Status == RefundProcessing || now.Status == RefundAbnormal
		if !open || o.Status == now.Status || o.Status == RefundProcessing {
			return refundTurn{}, errRefundTurn
		}
		return refundTurn{Status: o.Status}, nil
	})
	return r, false, err
}

// ConsoleRefund is a refund by hand in the merchant's console, of which the
// merchant's own systems know nothing beforehand.
type ConsoleRefund struct {
	// AmountFen is how much; 0 is all that is left.
	AmountFen int64 `json:"amount_fen,omitempty"`
	// TransactionID picks one of several payments.
	TransactionID string   `json:"transaction_id,omitempty"`
	Reason        string   `json:"reason,omitempty"`
	Notify        Protocol `json:"notify,omitempty"`
	NotifyURL     string   `json:"notify_url,omitempty"`
}

// RefundByConsole refunds an order by hand.
func (s *Simulator) RefundByConsole(outTradeNo string, c ConsoleRefund) (Refund, error) {
	order, known := s.Order(outTradeNo)
	if !known {
		return Refund{}, errUnknownOrder
	}
	if err := c.check(); err != nil {
		return Refund{}, fmt.Errorf("%w: %w", errBadPayRequest, err)
	}
	digits, err := s.random.text(20, decimal)
	if err != nil {
		return Refund{}, err
	}
	ask := refundAsk{TransactionID: c.TransactionID, OutTradeNo: outTradeNo, OutRefundNo: consoleRefundPrefix + digits,
		AmountFen: c.AmountFen, Reason: c.Reason, NotifyURL: c.NotifyURL, Origin: OriginConsole, Notify: c.Notify}
	if ask.Notify == "" {
		ask.Notify = order.protocol()
	}
	return s.refund(ask)
}

func (c ConsoleRefund) check() error {
	if c.AmountFen < 0 {
		return errors.New("amount_fen must be positive, or 0 for all that is left")
	}
	if c.Notify != "" && c.Notify != ProtocolV3 && c.Notify != ProtocolV2 && c.Notify != ProtocolNone {
		return errors.New("notify must be v3, v2 or none")
	}
	if c.NotifyURL != "" {
		if issue := notifyURLIssue(c.NotifyURL); issue != "" {
			return errors.New("notify_url " + issue)
		}
	}
	return nil
}

// protocol is how an order was made.
func (o Order) protocol() Protocol {
	if o.Protocol == ProtocolV2 {
		return ProtocolV2
	}
	return ProtocolV3
}

func (s *Simulator) refundRoutes(r chi.Router) {
	r.Post("/v3/refund/domestic/refunds", s.v3(s.createRefund()))
	r.Get("/v3/refund/domestic/refunds/{out_refund_no}", s.v3(s.queryRefund))
	r.Post("/v3/refund/domestic/refunds/{refund_id}/apply-abnormal-refund", s.v3(s.applyAbnormal))
	r.Get("/control/refunds/{out_refund_no}", s.controlRefund)
	r.Post("/control/refunds/{out_refund_no}", s.controlSettleRefund)
	r.Post("/control/orders/{out_trade_no}/refund", s.controlConsoleRefund)
	r.Get("/control/funds", s.controlFunds)
	r.Post("/control/openids", s.controlOpenid)
	r.Post("/control/funds", s.controlSetFunds)
}

func (s *Simulator) controlRefund(w http.ResponseWriter, r *http.Request) {
	refund, known := s.Refund(pathParam(r, "out_refund_no"))
	if !known {
		writeControlError(w, http.StatusNotFound, errUnknownRefund, nil)
		return
	}
	writeJSON(w, http.StatusOK, refund)
}

func (s *Simulator) controlSettleRefund(w http.ResponseWriter, r *http.Request) {
	var outcome RefundOutcome
	if err := decodeControl(w, r, &outcome); err != nil {
		writeControlError(w, http.StatusBadRequest, err, nil)
		return
	}
	number := pathParam(r, "out_refund_no")
	refund, planned, err := s.SettleRefund(number, outcome)
	switch {
	case err != nil:
		s.refuseControl(w, err, "out_refund_no", number)
	case planned:
		writeJSON(w, http.StatusAccepted, map[string]string{"out_refund_no": number, "planned": string(outcome.Status)})
	default:
		writeJSON(w, http.StatusOK, refund)
	}
}

func (s *Simulator) controlConsoleRefund(w http.ResponseWriter, r *http.Request) {
	var ask ConsoleRefund
	if err := decodeControl(w, r, &ask); err != nil {
		writeControlError(w, http.StatusBadRequest, err, nil)
		return
	}
	number := pathParam(r, "out_trade_no")
	refund, err := s.RefundByConsole(number, ask)
	if err != nil {
		s.refuseControl(w, err, "out_trade_no", number)
		return
	}
	writeJSON(w, http.StatusOK, refund)
}

func (s *Simulator) controlFunds(w http.ResponseWriter, _ *http.Request) {
	writeJSON(w, http.StatusOK, map[string]*int64{"balance_fen": s.Funds()})
}

// fundsRequest sets what the account holds, adds to it, or makes it endless.
type fundsRequest struct {
	BalanceFen *int64 `json:"balance_fen,omitempty"`
	TopUpFen   int64  `json:"top_up_fen,omitempty"`
	Unlimited  bool   `json:"unlimited,omitempty"`
}

func (f fundsRequest) check() error {
	given := 0
	for _, is := range []bool{f.BalanceFen != nil, f.TopUpFen != 0, f.Unlimited} {
		if is {
			given++
		}
	}
	if given != 1 || f.TopUpFen < 0 || f.BalanceFen != nil && *f.BalanceFen < 0 {
		return errors.New("give one of balance_fen (0 or more), top_up_fen (more than 0) and unlimited (true)")
	}
	return nil
}

func (s *Simulator) controlSetFunds(w http.ResponseWriter, r *http.Request) {
	var f fundsRequest
	err := decodeControl(w, r, &f)
	if err == nil {
		err = f.check()
	}
	if err != nil {
		writeControlError(w, http.StatusBadRequest, err, nil)
		return
	}
	if f.TopUpFen > 0 {
		err = s.TopUp(f.TopUpFen)
	} else {
		err = s.SetFunds(f.BalanceFen)
	}
	if err != nil {
		writeControlError(w, http.StatusInternalServerError, err, nil)
		return
	}
	s.controlFunds(w, r)
}

// decodeControl takes an empty body for {} and refuses unknown fields.
func decodeControl(w http.ResponseWriter, r *http.Request, into any) error {
	decoder := json.NewDecoder(http.MaxBytesReader(w, r.Body, maxRequestBytes))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(into); err != nil && !errors.Is(err, io.EOF) {
		return fmt.Errorf("read body: %w", err)
	}
	return nil
}

func (s *Simulator) refuseControl(w http.ResponseWriter, err error, key, number string) {
	status := http.StatusInternalServerError
	switch {
	case errors.Is(err, errBadPayRequest):
		status = http.StatusBadRequest
	case errors.Is(err, errUnknownOrder), errors.Is(err, errUnknownRefund):
		status = http.StatusNotFound
	default:
		for _, row := range refundRefusals() {
			if errors.Is(err, row.reason) {
				status = http.StatusConflict
			}
		}
	}
	s.log.Warn("control request refused", key, number, "status", status, "error", err)
	writeControlError(w, status, err, nil)
}
