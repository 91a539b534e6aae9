package wechat

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"sync"

	"github.com/silenceper/wechat/v2/util"
)

// libraryRouted: the library has one HTTP client for the whole process, so this
// is done once for the whole process.
var libraryRouted sync.Once //nolint:gochecknoglobals // the library's client is global; this guards the one assignment to it

// routeLibrary gives the library an HTTP client that sends nothing by itself:
// every request goes the way that its context names.
func routeLibrary() {
	libraryRouted.Do(func() { util.DefaultHTTPClient = &http.Client{Transport: libraryTransport{}} })
}

type callKey struct{}

// errNotOurs: a request without a call of ours in its context. Nothing in this
// package makes one.
var errNotOurs = errors.New("a request of the WeChat library outside of a call of ours is not sent")

// libraryTransport sends the library's requests through the Client whose call
// stands in the request's context. Any number of Clients, with other addresses
// and connections, so share the library's one global.
type libraryTransport struct{}

// RoundTrip answers with a body that is bounded, whole and no refusal; all else
// is an *APIError, so that the library never gets to word one of its own.
func (libraryTransport) RoundTrip(r *http.Request) (*http.Response, error) {
	c, ours := r.Context().Value(callKey{}).(*call)
	if !ours {
		if r.Body != nil {
			_ = r.Body.Close()
		}
		return nil, errNotOurs
	}
	body, err := c.send(r)
	if err != nil {
		return nil, err
	}
	return &http.Response{
		Status: "200 OK", StatusCode: http.StatusOK, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		Header: http.Header{"Content-Type": {"application/json"}}, Request: r,
		Body: io.NopCloser(bytes.NewReader(body)), ContentLength: int64(len(body)),
	}, nil
}

// viaLibrary runs one function of the library as the call c. The library's
// error texts hold whole URLs, secrets included; they end here.
func viaLibrary[T any](ctx context.Context, c *call, run func(context.Context) (T, error)) (T, error) {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	got, err := run(context.WithValue(ctx, callKey{}, c))
	if err == nil {
		return got, nil
	}
	var none T
	var refused *APIError
	if errors.As(err, &refused) {
		return none, refused
	}
	return none, c.unreadable("its answer has fields of other types than documented")
}
