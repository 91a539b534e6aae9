package ingest

import (
	"net/http"
	"strconv"
	"strings"
	"time"
)

// How long a shop waits for the outcome of its command, unless it says so
// itself, and at most.
const (
	defaultWait = 5 * time.Second
	maxWait     = 20 * time.Second
)

// preferredWait reads `Prefer: wait=N` (RFC 7240). What it cannot read it
// ignores, as the RFC asks; a longer wait is cut to the longest we offer.
// applied is empty when the shop asked for nothing.
func preferredWait(h http.Header) (wait time.Duration, applied string) {
	for preference := range strings.SplitSeq(strings.Join(h.Values("Prefer"), ","), ",") {
		token, _, _ := strings.Cut(preference, ";")
		name, value, _ := strings.Cut(token, "=")
		if !strings.EqualFold(strings.TrimSpace(name), "wait") {
			continue
		}
		// 16 bits: larger numbers mean the same as the largest wait anyway.
		seconds, err := strconv.ParseUint(strings.Trim(strings.TrimSpace(value), `"`), 10, 16)
		if err != nil {
			continue
		}
		wait = min(time.Duration(seconds)*time.Second, maxWait)
		return wait, "wait=" + strconv.Itoa(int(wait/time.Second))
	}
	return defaultWait, ""
}
