package httpedge

import (
	"log/slog"
	"net/http"
)

// Recorder remembers the status for log and metrics, and what a handler notes
// for the line about its request.
type Recorder struct {
	http.ResponseWriter

	Status int
	Notes  []slog.Attr
}

// Record begins to remember. A handler that says nothing says 200.
func Record(w http.ResponseWriter) *Recorder {
	return &Recorder{ResponseWriter: w, Status: http.StatusOK}
}

// Note adds to the one line that is written about a request.
func Note(w http.ResponseWriter, attrs ...slog.Attr) {
	if r, ok := w.(*Recorder); ok {
		r.Notes = append(r.Notes, attrs...)
	}
}

// WriteHeader notes the status on its way.
func (r *Recorder) WriteHeader(status int) {
	r.Status = status
	r.ResponseWriter.WriteHeader(status)
}

// Unwrap lets http.ResponseController and MaxBytesReader through.
func (r *Recorder) Unwrap() http.ResponseWriter { return r.ResponseWriter }
