package simulator

import (
	"encoding/json"
	"errors"
	"io"
	"net/http"
)

// controlPay pays an order: the stand-in for a user with a phone.
func (s *Simulator) controlPay(w http.ResponseWriter, r *http.Request) {
	request, err := decodePayRequest(http.MaxBytesReader(w, r.Body, maxRequestBytes))
	if err != nil {
		writeControlError(w, http.StatusBadRequest, err, nil)
		return
	}
	number := pathParam(r, "out_trade_no")
	payment, err := s.Pay(number, request)
	if err != nil {
		status := payStatus(err)
		s.log.Warn("payment refused", "out_trade_no", number, "status", status, "error", err)
		order, _ := s.Order(number)
		writeControlError(w, status, err, order.Payment)
		return
	}
	s.log.Debug("order paid", "out_trade_no", number, "transaction_id", payment.TransactionID)
	writeJSON(w, http.StatusOK, payment)
}

// decodePayRequest takes an empty body for {}.
func decodePayRequest(body io.Reader) (PayRequest, error) {
	var request PayRequest
	decoder := json.NewDecoder(body)
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&request); err != nil && !errors.Is(err, io.EOF) {
		return request, err
	}
	return request, nil
}

func payStatus(err error) int {
	switch {
	case errors.Is(err, errUnknownOrder):
		return http.StatusNotFound
	case errors.Is(err, errAlreadyPaid), errors.Is(err, errNotPayable), errors.Is(err, errTransactionTaken):
		return http.StatusConflict
	case errors.Is(err, errBadPayRequest):
		return http.StatusBadRequest
	}
	return http.StatusInternalServerError
}

// writeControlError tells of the payment that stands in the way, if any.
func writeControlError(w http.ResponseWriter, status int, err error, p *Payment) {
	writeJSON(w, status, struct {
		Error   string   `json:"error"`
		Payment *Payment `json:"payment,omitempty"`
	}{err.Error(), p})
}

// orderDocument is an order with its deliveries.
type orderDocument struct {
	Order

	Deliveries []Attempt `json:"deliveries"`
}

func (s *Simulator) controlOrder(w http.ResponseWriter, r *http.Request) {
	order, known := s.Order(pathParam(r, "out_trade_no"))
	if !known {
		writeControlError(w, http.StatusNotFound, errUnknownOrder, nil)
		return
	}
	writeJSON(w, http.StatusOK, orderDocument{order, s.Deliveries(order.OutTradeNo)})
}

func (s *Simulator) controlLedger(w http.ResponseWriter, _ *http.Request) {
	writeJSON(w, http.StatusOK, s.Ledger())
}

func (s *Simulator) controlDeliveries(w http.ResponseWriter, r *http.Request) {
	if r.URL.Query().Get("summary") == "1" {
		writeJSON(w, http.StatusOK, s.Summary())
		return
	}
	writeJSON(w, http.StatusOK, map[string][]Attempt{"deliveries": s.Deliveries(r.URL.Query().Get("out_trade_no"))})
}
