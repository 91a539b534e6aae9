package ingest

import (
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"slices"

	"github.com/fenflow/fenflow/pkg/wechatpay"
)

// maxNotifyBytes bounds a notification. Real ones are 1–4 KiB; more than this
// is refused whole, never cut: a cut body verifies nothing.
const maxNotifyBytes = wechatpay.MaxBodyBytes

// errTooLarge is a body over its limit.
var errTooLarge = errors.New("body too large")

// readBody reads the whole body or refuses it.
func readBody(w http.ResponseWriter, r *http.Request, limit int64) ([]byte, error) {
	if r.ContentLength > limit {
		return nil, errTooLarge
	}
	// MaxBytesReader also tells the server to close the connection, so that
	// the rest of a body without end is not read.
	raw, err := io.ReadAll(http.MaxBytesReader(w, r.Body, limit))
	var over *http.MaxBytesError
	switch {
	case errors.As(err, &over):
		return nil, errTooLarge
	case err != nil:
		return nil, fmt.Errorf("read body: %w", err)
	}
	return raw, nil
}

// hasMediaType says whether the request declares one of the types. Parameters
// such as charset are WeChat's to choose.
func hasMediaType(r *http.Request, types ...string) bool {
	given := r.Header.Values("Content-Type")
	if len(given) != 1 {
		return false
	}
	mediaType, _, err := mime.ParseMediaType(given[0])
	return err == nil && slices.Contains(types, mediaType)
}
