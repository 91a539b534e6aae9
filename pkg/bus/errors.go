package bus

import (
	"context"
	"errors"
	"fmt"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// What a publish or a request may meet. After ErrSlow the outcome is unknown;
// after the others nothing was stored, as far as the broker said.
var (
	ErrUnavailable = errors.New("the broker is away or nobody answers")
	ErrFull        = errors.New("the stream or the broker's disk is full")
	ErrSlow        = errors.New("no answer in time")
	ErrTooLarge    = errors.New("too large for the bus")
)

// Codes of the server (nats-server 2.15.2, server/errors.json).
const (
	codeStreamLimit           = 10077 // maximum messages, bytes or per subject exceeded
	codeInsufficientResources = 10023
	codeStorageExceeded       = 10047
	codeAccountExceeded       = 10002
	codeDuplicateInBatch      = 10201
)

// classify adds the kind of a failure, so that callers can ask errors.Is.
func classify(err error) error {
	kind := kindOf(err)
	if kind == nil || errors.Is(err, kind) {
		return err
	}
	return fmt.Errorf("%w: %w", kind, err)
}

func kindOf(err error) error {
	var api *jetstream.APIError
	switch {
	case err == nil:
		return nil
	case errors.As(err, &api):
		return kindOfAPI(api)
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, nats.ErrTimeout):
		return ErrSlow
	case errors.Is(err, nats.ErrMaxPayload):
		return ErrTooLarge
	case isAway(err):
		return ErrUnavailable
	}
	return nil
}

func kindOfAPI(api *jetstream.APIError) error {
	switch int(api.ErrorCode) {
	case codeStreamLimit, codeInsufficientResources, codeStorageExceeded, codeAccountExceeded:
		return ErrFull
	}
	switch api.Code {
	case 429: // the stream's queue of incoming messages is overrun
		return ErrSlow
	case 503:
		return ErrUnavailable
	}
	return nil
}

func isAway(err error) bool {
	for _, away := range []error{
		nats.ErrNoResponders, nats.ErrConnectionClosed, nats.ErrConnectionReconnecting,
		nats.ErrReconnectBufExceeded, nats.ErrDisconnected, nats.ErrConnectionDraining, nats.ErrNoServers,
		jetstream.ErrNoStreamResponse, jetstream.ErrJetStreamNotEnabled,
		nats.ErrHeadersNotSupported, // before the first connection nothing is known of the server
	} {
		if errors.Is(err, away) {
			return true
		}
	}
	return false
}
