package front

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/fenflow/fenflow/pkg/httpedge"
	"github.com/fenflow/fenflow/pkg/problem"
)

// What a worker is asked.
const (
	subjectAuthorize = "fenflow.wechat.authorize"
	subjectLogin     = "fenflow.wechat.login"
	subjectJSConfig  = "fenflow.wechat.jsconfig"
	subjectMessage   = "fenflow.wechat.message"
	subjectOrder     = "fenflow.wechat.order"
	subjectCheck     = "fenflow.wechat.check"
	subjectPay       = "fenflow.wechat.pay"
)

const (
	// workerWait leaves the worker time for a call of WeChat's, which takes 5 s at
	// most, and its own books; people wait about that long.
	workerWait = 8 * time.Second
	// messageWait: WeChat's message servers give up after 5 s and repeat.
	messageWait = 4500 * time.Millisecond
)

// ask puts a question to a worker. What goes wrong on the way names no part of
// the question, which holds codes and sessions.
func (h *Handler) ask(ctx context.Context, subject string, question any, wait time.Duration) ([]byte, error) {
	raw, err := json.Marshal(question)
	if err != nil {
		return nil, problem.Wrap(problem.Internal, errors.New("write a question"), "")
	}
	answer, err := h.Worker.Request(ctx, subject, raw, wait)
	if err != nil {
		return nil, &problem.Error{Kind: problem.NoWorker, NextStep: "Try again in a moment. If it stays so, check that a worker runs and is ready.", Cause: err}
	}
	return answer, nil
}

// pass asks a worker and tells the client what it answered.
func (h *Handler) pass(w http.ResponseWriter, r *http.Request, subject string, question any) error {
	answer, err := h.ask(r.Context(), subject, question, workerWait)
	if err != nil {
		return err
	}
	return httpedge.PassOn(w, answer)
}

// into asks a worker for a document that is read here. A refusal comes back as
// the problem that it is.
func (h *Handler) into(ctx context.Context, subject string, question any, wait time.Duration, document any) error {
	answer, err := h.ask(ctx, subject, question, wait)
	if err != nil {
		return err
	}
	body, err := problem.ReadAnswer(answer)
	if err != nil {
		return err //nolint:wrapcheck // it is a problem
	}
	if err := json.Unmarshal(body, document); err != nil {
		return problem.Wrap(problem.Internal, fmt.Errorf("read a worker's answer to %s: %w", subject, errShape), "")
	}
	return nil
}

// errShape stands for the decoder's own words, which may quote what it read.
var errShape = errors.New("it has another shape")
