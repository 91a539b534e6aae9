package ingest

import (
	"encoding/json"
	"net/http"
	"net/url"
	"time"

	"github.com/go-chi/chi/v5"
	"github.com/google/uuid"

	"github.com/fenflow/fenflow/pkg/merchant"
	"github.com/fenflow/fenflow/pkg/pay"
	"github.com/fenflow/fenflow/pkg/problem"
)

const (
	subjectReadOrder   = "fenflow.read.order"
	subjectReadCommand = "fenflow.read.command"
	// readWait covers one lookup by key in a busy database.
	readWait = 3 * time.Second
)

// readAnswer is what a worker found: an order or command, or a problem.
type readAnswer struct {
	Status int             `json:"status"`
	Body   json.RawMessage `json:"body"`
}

func (h *APIHandler) readOrder(w http.ResponseWriter, r *http.Request, m merchant.Merchant) error {
	no, err := pay.ParseOutTradeNo(pathValue(r, "out_trade_no"))
	if err != nil {
		return problem.New(problem.NotFound, err.Error())
	}
	return h.read(w, r, subjectReadOrder, map[string]string{"mchid": string(m.MchID), "out_trade_no": string(no)})
}

func (h *APIHandler) readCommand(w http.ResponseWriter, r *http.Request, m merchant.Merchant) error {
	id, err := uuid.Parse(pathValue(r, "command_id"))
	if err != nil {
		return problem.New(problem.NotFound, "command_id must be a UUID")
	}
	return h.read(w, r, subjectReadCommand, map[string]string{"mchid": string(m.MchID), "command_id": id.String()})
}

// read asks a worker. The merchant is always the one of the API key: nobody
// reads another's orders.
func (h *APIHandler) read(w http.ResponseWriter, r *http.Request, subject string, question map[string]string) error {
	raw, err := json.Marshal(question)
	if err != nil {
		return problem.Wrap(problem.Internal, err, "")
	}
	answer, err := h.Worker.Request(r.Context(), subject, raw, readWait)
	if err != nil {
		return problem.Wrap(problem.NoWorker, err, "")
	}
	var found readAnswer
	if err := json.Unmarshal(answer, &found); err != nil {
		return problem.Wrap(problem.Internal, err, "")
	}
	return writeResult(w, found.Status, found.Body)
}

// pathValue is a parameter of the path, decoded once: an out_trade_no may hold
// "|" and "*", which clients may or may not escape.
func pathValue(r *http.Request, name string) string {
	raw := chi.URLParam(r, name)
	if r.URL.RawPath == "" {
		return raw
	}
	decoded, err := url.PathUnescape(raw)
	if err != nil {
		return ""
	}
	return decoded
}
