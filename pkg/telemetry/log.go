package telemetry

import (
	"fmt"
	"io"
	"log/slog"
	"time"
)

// LogOptions say how to log.
type LogOptions struct {
	Level  string // debug, info (also when empty), warn, error
	Format string // json (also when empty) or text
}

// NewLogger makes a logger that writes to w. Times are UTC.
func NewLogger(w io.Writer, o LogOptions) (*slog.Logger, error) {
	var level slog.Level
	if o.Level != "" {
		if err := level.UnmarshalText([]byte(o.Level)); err != nil {
			return nil, fmt.Errorf("log level %q: must be debug, info, warn or error", o.Level)
		}
	}
	options := &slog.HandlerOptions{Level: level, ReplaceAttr: utc}
	switch o.Format {
	case "", "json":
		return slog.New(slog.NewJSONHandler(w, options)), nil
	case "text":
		return slog.New(slog.NewTextHandler(w, options)), nil
	}
	return nil, fmt.Errorf("log format %q: must be json or text", o.Format)
}

func utc(groups []string, a slog.Attr) slog.Attr {
	if len(groups) == 0 && a.Key == slog.TimeKey && a.Value.Kind() == slog.KindTime {
		a.Value = slog.StringValue(a.Value.Time().UTC().Format(time.RFC3339Nano))
	}
	return a
}

// Error is the attribute for an error.
func Error(err error) slog.Attr {
	if err == nil {
		return slog.String("error", "")
	}
	return slog.String("error", err.Error())
}
