package operator

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"time"

	"github.com/google/uuid"

	"github.com/fenflow/fenflow/pkg/pay"
	"github.com/fenflow/fenflow/pkg/problem"
)

// Worker asks a worker over core NATS, for what takes a merchant's key or the
// broker. ErrRemote of the bus and a worker that is away are errors alike.
type Worker interface {
	Request(ctx context.Context, subject string, data []byte, timeout time.Duration) ([]byte, error)
}

// Commands hands a command to the COMMAND stream, as the shop's API does, and
// waits for its result. Without an error the command is stored.
type Commands interface {
	SubmitCommand(ctx context.Context, c pay.Command, wait time.Duration) (result pay.CommandResult, replied bool, err error)
}

// What a worker is asked. The names are those of package bus, which this room does
// not know; each question stands beside the handler that asks it.
const (
	subjectCheck    = "fenflow.act.check"
	subjectAbnormal = "fenflow.act.abnormal" // no command: a bank account must not lie in a stream

	subjectConnections = "fenflow.operate.connections"
	subjectEvents      = "fenflow.operate.events"
	subjectKeys        = "fenflow.operate.keys"
	subjectLane        = "fenflow.operate.lane"
	subjectMenu        = "fenflow.operate.menu"
	subjectMerchant    = "fenflow.operate.merchant"
	subjectPublish     = "fenflow.operate.publish"
	subjectRehearse    = "fenflow.operate.rehearse"
	subjectRejected    = "fenflow.operate.rejected"
	subjectReplay      = "fenflow.operate.replay"
	subjectRepublish   = "fenflow.operate.republish"
	subjectReverify    = "fenflow.operate.reverify"
	subjectSubscriber  = "fenflow.operate.subscriber"
)

const (
	// askWithin bounds one question to a worker; it is below what a request may take.
	askWithin = 18 * time.Second
	// glanceWithin bounds a question of the status: somebody looks at the screen, and
	// the rest of it is there.
	glanceWithin = 2 * time.Second
)

// askAgain is what to do when a question that changes nothing was not answered.
const askAgain = "Send the same request again: nothing was changed."

// ask has a worker answer a question, and gives its document. A problem of the
// worker's is given as it is. unknown says what to do when nobody answers.
func (a *API) ask(ctx context.Context, subject string, question any, unknown string) (json.RawMessage, error) {
	answer, err := a.request(ctx, subject, question, unknown)
	if err != nil {
		return nil, err
	}
	return problem.ReadAnswer(answer) //nolint:wrapcheck // the refusal is the worker's own
}

// askFor has a worker answer a question, and reads its document.
func askFor[T any](ctx context.Context, a *API, subject string, question any, unknown string) (T, error) {
	var read T
	raw, err := a.ask(ctx, subject, question, unknown)
	if err != nil {
		return read, err
	}
	if err := json.Unmarshal(raw, &read); err != nil {
		return read, problem.Wrap(problem.Internal, fmt.Errorf("read the worker's answer: %w", err), "")
	}
	return read, nil
}

// pass hands a question on, and the worker's document back as it is.
func (a *API) pass(w http.ResponseWriter, c *call, subject string, question any, unknown string) error {
	document, err := a.ask(c.Context(), subject, question, unknown)
	if err != nil {
		return err
	}
	return answer(w, document)
}

// request has a worker answer a question, and gives its answer as it came.
func (a *API) request(ctx context.Context, subject string, question any, unknown string) ([]byte, error) {
	if a.Worker == nil {
		return nil, noNATS()
	}
	raw, err := json.Marshal(question)
	if err != nil {
		return nil, problem.Wrap(problem.Internal, errors.New("write a question"), "") // the cause may quote the question
	}
	answer, err := a.Worker.Request(ctx, subject, raw, askWithin)
	switch {
	case errors.Is(err, context.DeadlineExceeded):
		return nil, &problem.Error{Kind: problem.Unavailable, Detail: "no answer came within " + askWithin.String(), NextStep: unknown, Cause: err}
	case err != nil:
		return nil, problem.Wrap(problem.NoWorker, err, "")
	}
	return answer, nil
}

// noNATS is what a console without a broker says of what takes one.
func noNATS() error {
	return &problem.Error{Kind: problem.NoWorker, Detail: "this console has no way to a worker", NextStep: "Set nats.url of the console (variable FENFLOW_NATS_URL) and its password, then start it again."}
}

// newCommand begins a command of an operator: its id and arrival.
func (a *API) newCommand(mchid pay.MchID, kind pay.CommandKind) (pay.Command, error) {
	id, err := uuid.NewV7()
	if err != nil {
		return pay.Command{}, problem.Wrap(problem.Internal, fmt.Errorf("make a command id: %w", err), "")
	}
	return pay.Command{ID: pay.CommandID(id.String()), MchID: mchid, Kind: kind, ReceivedAt: a.Now().UTC()}, nil
}

// submit hands a command on and waits for its outcome. A refusal is an error;
// so is an outcome that did not come in time: the command is stored by then, and
// unknown says how to learn what became of it.
func (a *API) submit(ctx context.Context, w http.ResponseWriter, c pay.Command, unknown string) (json.RawMessage, error) {
	if a.Commands == nil {
		return nil, noNATS()
	}
	note(w, slog.String("command_id", string(c.ID)), slog.String("kind", string(c.Kind)))
	result, replied, err := a.Commands.SubmitCommand(ctx, c, askWithin)
	switch {
	case err != nil:
		return nil, problem.Wrap(problem.BrokerUnavailable, err, "the request could not be handed on: the broker is away, full or slow")
	case !replied:
		return nil, &problem.Error{Kind: problem.Unavailable, Detail: "the command is stored, and no outcome came within " + askWithin.String(), NextStep: unknown}
	case result.Status >= http.StatusBadRequest:
		return nil, problem.ReadRefusal(result.Body)
	}
	return result.Body, nil
}
