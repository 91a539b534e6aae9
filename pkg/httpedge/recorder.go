package httpedge

import (
	"log/slog"
	"net/http"
	"time"
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

// Tell writes the one line about a request. It leaves out the query, which may
// hold codes and tickets.
func (r *Recorder) Tell(l *slog.Logger, listener string, request *http.Request, route string, took time.Duration, err error) {
	level := slog.LevelInfo
	if r.Status >= http.StatusInternalServerError {
		level = slog.LevelError
	}
	line := append([]slog.Attr{
		slog.String("route", route), slog.String("method", Clip(request.Method, maxMethod)), slog.Int("status", r.Status),
		slog.Duration("took", took), slog.String("remote", request.RemoteAddr),
	}, r.Notes...)
	if err != nil {
		line = append(line, slog.String("error", err.Error()))
	}
	l.LogAttrs(request.Context(), level, listener, line...)
}

// maxMethod is as much of a method as the log repeats: it is any word.
const maxMethod = 16

// WriteHeader notes the status on its way.
func (r *Recorder) WriteHeader(status int) {
	r.Status = status
	r.ResponseWriter.WriteHeader(status)
}

// Unwrap lets http.ResponseController and MaxBytesReader through.
func (r *Recorder) Unwrap() http.ResponseWriter { return r.ResponseWriter }
