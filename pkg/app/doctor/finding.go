package doctor

import "fmt"

// Verdict is how one thing stands.
type Verdict string

// The verdicts.
const (
	OK      Verdict = "ok"
	Warn    Verdict = "warn"    // works, and should be looked at
	Fail    Verdict = "fail"    // does not work, or loses what it should keep
	Skipped Verdict = "skipped" // could not be looked at, or is not asked for
)

// Finding is what one check found about one thing.
type Finding struct {
	Group   string // such as "nats"
	Check   string // stable, such as "nats.user"
	Subject string // what was looked at, such as "worker"; empty where there is one
	Verdict Verdict
	Detail  string
	Fix     string // of Warn and Fail
}

// outcome is a finding before its check signs it.
type outcome struct {
	verdict     Verdict
	detail, fix string
}

func ok(format string, args ...any) []outcome {
	return []outcome{{OK, fmt.Sprintf(format, args...), ""}}
}

func skipped(format string, args ...any) []outcome {
	return []outcome{{Skipped, fmt.Sprintf(format, args...), ""}}
}

func warn(fix, format string, args ...any) []outcome {
	return []outcome{{Warn, fmt.Sprintf(format, args...), fix}}
}

func fail(fix, format string, args ...any) []outcome {
	return []outcome{{Fail, fmt.Sprintf(format, args...), fix}}
}
