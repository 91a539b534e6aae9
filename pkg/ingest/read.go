package ingest

import (
	"encoding/json"
	"net/http"
	"time"

	"github.com/google/uuid"

	"github.com/fenflow/fenflow/pkg/httpedge"
	"github.com/fenflow/fenflow/pkg/pay"
	"github.com/fenflow/fenflow/pkg/problem"
)

const (
	subjectReadOrder   = "fenflow.read.order"
	subjectReadHistory = "fenflow.read.history"
	subjectReadRefund  = "fenflow.read.refund"
	subjectReadCommand = "fenflow.read.command"
	// readWait covers a few lookups by key in a busy database.
	readWait = 3 * time.Second
)

func (h *APIHandler) readOrder(w http.ResponseWriter, r *http.Request, from shop) error {
	return h.readByNumber(w, r, from, subjectReadOrder)
}

// readHistory tells everything that is known of an order.
func (h *APIHandler) readHistory(w http.ResponseWriter, r *http.Request, from shop) error {
	return h.readByNumber(w, r, from, subjectReadHistory)
}

func (h *APIHandler) readByNumber(w http.ResponseWriter, r *http.Request, from shop, subject string) error {
	no, err := pathOutTradeNo(r)
	if err != nil {
		return err
	}
	return h.read(w, r, subject, map[string]string{"mchid": string(from.MchID), "out_trade_no": string(no)})
}

func (h *APIHandler) readRefund(w http.ResponseWriter, r *http.Request, from shop) error {
	no, err := pathOutRefundNo(r)
	if err != nil {
		return err
	}
	return h.read(w, r, subjectReadRefund, map[string]string{"mchid": string(from.MchID), "out_refund_no": string(no)})
}

func (h *APIHandler) readCommand(w http.ResponseWriter, r *http.Request, from shop) error {
	id, err := uuid.Parse(httpedge.PathValue(r, "command_id"))
	if err != nil {
		return problem.New(problem.NotFound, "command_id must be a UUID")
	}
	return h.read(w, r, subjectReadCommand, map[string]string{"mchid": string(from.MchID), "command_id": id.String()})
}

// read asks a worker and passes its answer on.
func (h *APIHandler) read(w http.ResponseWriter, r *http.Request, subject string, question map[string]string) error {
	answer, err := h.ask(r, subject, question)
	if err != nil {
		return err
	}
	return httpedge.PassOn(w, answer)
}

// ask asks a worker. The merchant is always the one of the API key: nobody
// reads another's orders.
func (h *APIHandler) ask(r *http.Request, subject string, question map[string]string) ([]byte, error) {
	raw, err := json.Marshal(question)
	if err != nil {
		return nil, problem.Wrap(problem.Internal, err, "")
	}
	answer, err := h.Worker.Request(r.Context(), subject, raw, readWait)
	if err != nil {
		return nil, problem.Wrap(problem.NoWorker, err, "")
	}
	return answer, nil
}

func pathOutTradeNo(r *http.Request) (pay.OutTradeNo, error) {
	no, err := pay.ParseOutTradeNo(httpedge.PathValue(r, "out_trade_no"))
	if err != nil {
		return "", problem.New(problem.NotFound, err.Error())
	}
	return no, nil
}

func pathOutRefundNo(r *http.Request) (pay.OutRefundNo, error) {
	no, err := pay.ParseOutRefundNo(httpedge.PathValue(r, "out_refund_no"))
	if err != nil {
		return "", problem.New(problem.NotFound, err.Error())
	}
	return no, nil
}
