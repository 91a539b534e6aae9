package replay

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"

	"github.com/fenflow/fenflow/pkg/pay"
	"github.com/fenflow/fenflow/pkg/problem"
)

// errBroker marks what the broker did not do.
var errBroker = errors.New("the replay lane")

// problemOf tells an operator what an error means.
func (s *Service) problemOf(err error) *problem.Error {
	var already *problem.Error
	var moved *pay.MovedError
	var discarded *pay.DiscardedError
	switch {
	case errors.As(err, &already):
		return already
	case errors.As(err, &moved):
		return problem.New(problem.OrderMoved, moved.Error())
	case errors.As(err, &discarded):
		return problem.New(problem.LetterSettled, discarded.Error())
	case errors.Is(err, pay.ErrBusy):
		return problem.New(problem.RowsBusy, "")
	case errors.Is(err, errBroker):
		return problem.Wrap(problem.BrokerUnavailable, err, "what is on the replay lane already is settled; the rest is not on it")
	case s.Retryable(err):
		return problem.Wrap(problem.DatabaseUnavailable, err, "")
	}
	return problem.Wrap(problem.Internal, err, "")
}

func refuse(p *problem.Error) ([]byte, error) {
	raw, err := problem.WriteRefusal(p)
	if err != nil {
		return nil, fmt.Errorf("refuse: %w", err)
	}
	return raw, nil
}

func write(document any) ([]byte, error) {
	raw, err := problem.WriteAnswer(http.StatusOK, document)
	if err != nil {
		return nil, fmt.Errorf("answer: %w", err)
	}
	return raw, nil
}

// read takes a question; one that cannot be read is a fault of the console's.
func read(question []byte, into any) error {
	if err := json.Unmarshal(question, into); err != nil {
		return problem.New(problem.Malformed, "the worker does not understand the console; compare their versions")
	}
	return nil
}
