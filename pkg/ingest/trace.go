package ingest

import (
	"crypto/rand"
	"encoding/hex"
	"net/http"
	"regexp"
	"strings"
)

const headerTraceParent = "Traceparent"

// traceShape is version 00 of W3C trace context, which is all that we carry.
var traceShape = regexp.MustCompile(`^00-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}$`)

// traceParent returns the caller's trace context, or begins one: WeChat Pay
// sends none, and a message should be followable from here to its event.
func traceParent(r *http.Request) string {
	given := r.Header.Get(headerTraceParent)
	if traceShape.MatchString(given) && !strings.Contains(given, "-00000000000000000000000000000000-") && !strings.Contains(given, "-0000000000000000-") {
		return given
	}
	var id [24]byte
	_, _ = rand.Read(id[:]) // never fails (crypto/rand)
	return "00-" + hex.EncodeToString(id[:16]) + "-" + hex.EncodeToString(id[16:]) + "-01"
}
