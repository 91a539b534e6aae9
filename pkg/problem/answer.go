package problem

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
)

// Answer is how one role answers another's question over the broker: an HTTP
// status, and a document, which is a problem where the status is 400 or above.
type Answer struct {
	Status int             `json:"status"`
	Body   json.RawMessage `json:"body"`
}

// WriteAnswer writes what was found or done.
func WriteAnswer(status int, document any) ([]byte, error) {
	body, err := json.Marshal(document)
	if err != nil {
		return nil, fmt.Errorf("write answer: %w", err)
	}
	return marshal(Answer{Status: status, Body: body})
}

// WriteRefusal writes why not; an error without a kind shows its code and
// nothing else.
func WriteRefusal(err error) ([]byte, error) {
	d := DocumentOf(err, "")
	return WriteAnswer(d.Status, d)
}

func marshal(a Answer) ([]byte, error) {
	raw, err := json.Marshal(a)
	if err != nil {
		return nil, fmt.Errorf("write answer: %w", err)
	}
	return raw, nil
}

// ReadAnswer gives the document, or the refusal as the error that it was.
func ReadAnswer(raw []byte) (json.RawMessage, error) {
	var a Answer
	if err := json.Unmarshal(raw, &a); err != nil {
		return nil, Wrap(Internal, fmt.Errorf("read answer: %w", err), "")
	}
	if a.Status >= http.StatusBadRequest {
		return nil, ReadRefusal(a.Body)
	}
	return a.Body, nil
}

// ReadRefusal gives a problem document of another role as the error that it was.
func ReadRefusal(body []byte) error {
	var d Document
	if err := json.Unmarshal(body, &d); err != nil {
		return Wrap(Internal, fmt.Errorf("read problem: %w", err), "")
	}
	entry, known := ByCode(d.Code)
	if !known {
		return Wrap(Internal, errors.New("another role answers with a problem whose code is not known here"), "")
	}
	return &Error{Kind: entry.Kind, Detail: d.Detail, NextStep: d.NextStep, Fields: d.Errors}
}
