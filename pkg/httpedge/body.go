package httpedge

import (
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"slices"

	"github.com/fenflow/fenflow/pkg/problem"
	"github.com/fenflow/fenflow/pkg/request"
)

// ErrTooLarge is a body over its limit.
var ErrTooLarge = errors.New("body too large")

// ReadBody reads the whole body or refuses it: a cut one means nothing.
func ReadBody(w http.ResponseWriter, r *http.Request, limit int64) ([]byte, error) {
	if r.ContentLength > limit {
		return nil, ErrTooLarge
	}
	// MaxBytesReader also tells the server to close the connection, so that
	// the rest of a body without end is not read.
	raw, err := io.ReadAll(http.MaxBytesReader(w, r.Body, limit))
	var over *http.MaxBytesError
	switch {
	case errors.As(err, &over):
		return nil, ErrTooLarge
	case err != nil:
		return nil, fmt.Errorf("read body: %w", err)
	}
	return raw, nil
}

// ReadWhole is ReadBody with problems for errors.
func ReadWhole(w http.ResponseWriter, r *http.Request, limit int64) ([]byte, error) {
	raw, err := ReadBody(w, r, limit)
	switch {
	case errors.Is(err, ErrTooLarge):
		return nil, problem.Newf(problem.TooLarge, "the body is larger than %d bytes", limit)
	case err != nil:
		return nil, problem.Wrap(problem.Malformed, err, "the body did not arrive whole")
	}
	return raw, nil
}

// ReadJSON reads the body of a request; what names it in the answer.
func ReadJSON(w http.ResponseWriter, r *http.Request, limit int64, what string) ([]byte, error) {
	if !HasMediaType(r, "application/json") {
		return nil, problem.Newf(problem.UnsupportedMedia, "%s is application/json", what)
	}
	return ReadWhole(w, r, limit)
}

// ReadNothing reads the body of a request that has nothing to say: none, or an
// empty object. Who sends more means something that is not done.
func ReadNothing(w http.ResponseWriter, r *http.Request) error {
	raw, err := ReadWhole(w, r, maxNothingBytes)
	switch {
	case err != nil:
		return err
	case len(raw) == 0:
		return nil
	case !HasMediaType(r, "application/json"):
		return problem.New(problem.UnsupportedMedia, "this request has no body, or {} as application/json")
	}
	f, err := request.Read(raw)
	if err != nil {
		return err //nolint:wrapcheck // it is a problem
	}
	return f.Done() //nolint:wrapcheck // it is a problem
}

// maxNothingBytes leaves room for white space.
const maxNothingBytes = 1 << 10

// HasMediaType says whether the request declares one of the types. Parameters
// such as charset are the sender's to choose.
func HasMediaType(r *http.Request, types ...string) bool {
	given := r.Header.Values("Content-Type")
	if len(given) != 1 {
		return false
	}
	mediaType, _, err := mime.ParseMediaType(given[0])
	return err == nil && slices.Contains(types, mediaType)
}
