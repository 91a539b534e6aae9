package ingest

import (
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"

	"github.com/google/uuid"

	"github.com/fenflow/fenflow/pkg/httpedge"
	"github.com/fenflow/fenflow/pkg/pay"
	"github.com/fenflow/fenflow/pkg/problem"
)

// errand is a command on its way out: what it makes, and what a shop does that
// cannot know what became of it.
type errand struct {
	command pay.Command
	made    string // where to find what it makes; empty: it makes nothing
	repeat  string
}

// newCommand begins a command of this shop: its id, arrival and trace.
func (h *APIHandler) newCommand(r *http.Request, from shop, kind pay.CommandKind) (pay.Command, error) {
	id, err := uuid.NewV7()
	if err != nil {
		return pay.Command{}, problem.Wrap(problem.Internal, fmt.Errorf("make a command id: %w", err), "")
	}
	return pay.Command{
		ID: pay.CommandID(id.String()), MchID: from.MchID, Kind: kind, ReceivedAt: h.Now().UTC(), TraceParent: traceParent(r),
	}, nil
}

// submit hands a command on and waits for its outcome, as long as the shop
// prefers: the result, or where it will be.
func (h *APIHandler) submit(w http.ResponseWriter, r *http.Request, e errand) error {
	httpedge.Note(w, commandNotes(e.command)...)
	wait, applied := preferredWait(r.Header)
	result, replied, err := h.Commands.SubmitCommand(r.Context(), e.command, wait)
	if err != nil {
		return &problem.Error{Kind: problem.BrokerUnavailable, Detail: "the request could not be handed on: the broker is away, full or slow", NextStep: e.repeat, Cause: err}
	}
	if applied != "" {
		w.Header().Set("Preference-Applied", applied)
	}
	if !replied {
		return accepted(w, e.command)
	}
	if result.Status == http.StatusCreated && e.made != "" {
		w.Header().Set("Location", e.made)
	}
	return httpedge.WriteResult(w, result.Status, result.Body)
}

func commandNotes(c pay.Command) []slog.Attr {
	notes := []slog.Attr{slog.String("command_id", string(c.ID)), slog.String("traceparent", c.TraceParent)}
	if c.OutTradeNo != "" {
		notes = append(notes, slog.String("out_trade_no", string(c.OutTradeNo)))
	}
	if c.OutRefundNo != "" {
		notes = append(notes, slog.String("out_refund_no", string(c.OutRefundNo)))
	}
	return notes
}

// pending is what a shop is told whose command has no outcome yet.
type pending struct {
	CommandID   pay.CommandID   `json:"command_id"`
	MchID       pay.MchID       `json:"mchid"`
	OutTradeNo  pay.OutTradeNo  `json:"out_trade_no,omitempty"`
	OutRefundNo pay.OutRefundNo `json:"out_refund_no,omitempty"`
	Outcome     string          `json:"outcome"`
	Digest      string          `json:"digest"`
}

func accepted(w http.ResponseWriter, c pay.Command) error {
	raw, err := json.Marshal(pending{
		CommandID: c.ID, MchID: c.MchID, OutTradeNo: c.OutTradeNo, OutRefundNo: c.OutRefundNo, Outcome: "pending", Digest: c.Digest,
	})
	if err != nil {
		return problem.Wrap(problem.Internal, err, "")
	}
	w.Header().Set("Location", "/v1/commands/"+string(c.ID))
	return httpedge.WriteResult(w, http.StatusAccepted, raw)
}
