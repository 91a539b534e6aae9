package httpedge

import (
	"encoding/json"
	"fmt"
	"net/http"

	"github.com/fenflow/fenflow/pkg/problem"
)

const (
	// retryAfter is what a client is asked to wait before it repeats what could
	// not be done now: long enough for a restart of a part.
	retryAfter = "2"
	// retryPending is when a client may look again for what is under way.
	retryPending = "1"
)

// WriteProblem answers an error; instance is the address it is about.
func WriteProblem(w http.ResponseWriter, err error, instance string) {
	document := problem.DocumentOf(err, instance)
	WaitHeaders(w, document.Status)
	raw, failed := json.Marshal(document)
	if failed != nil { // strings and numbers always marshal; the status decides all the same
		raw = []byte(`{}`)
	}
	WriteBody(w, document.Status, problem.ContentType, raw)
}

// WaitHeaders says who may ask, or when to ask again, where the status leaves
// that open. A Retry-After that is there already stays.
func WaitHeaders(w http.ResponseWriter, status int) {
	switch {
	case status == http.StatusUnauthorized:
		w.Header().Set("WWW-Authenticate", `Bearer realm="fenflow"`)
	case w.Header().Get("Retry-After") != "":
	case status == http.StatusServiceUnavailable:
		w.Header().Set("Retry-After", retryAfter)
	case status == http.StatusAccepted:
		w.Header().Set("Retry-After", retryPending)
	}
}

// WriteBody writes an answer.
func WriteBody(w http.ResponseWriter, status int, contentType string, body []byte) {
	w.Header().Set("Content-Type", contentType)
	w.Header().Set("X-Content-Type-Options", "nosniff")
	w.WriteHeader(status)
	_, _ = w.Write(body) // a client that went away asks again
}

// WriteResult passes on a worker's answer: what was asked for, or a problem.
func WriteResult(w http.ResponseWriter, status int, body []byte) error {
	if status < http.StatusOK || status > 599 || !json.Valid(body) {
		return problem.Wrap(problem.Internal, fmt.Errorf("a worker answered with status %d and %d bytes of no JSON", status, len(body)), "")
	}
	contentType := "application/json"
	if status >= http.StatusBadRequest {
		contentType = problem.ContentType
	}
	WaitHeaders(w, status)
	WriteBody(w, status, contentType, body)
	return nil
}

// PassOn tells the client what a worker answered.
func PassOn(w http.ResponseWriter, answer []byte) error {
	var found problem.Answer
	if err := json.Unmarshal(answer, &found); err != nil {
		return problem.Wrap(problem.Internal, fmt.Errorf("read a worker's answer: %w", err), "")
	}
	return WriteResult(w, found.Status, found.Body)
}
