package problem

import (
	"fmt"
	"strings"
)

// Reference writes the reference page of all codes.
func Reference() string {
	var b strings.Builder
	b.WriteString("<!-- Generated from pkg/problem by `make generate`; do not edit. -->\n# Error codes\n\n")
	b.WriteString("Every error that a person or a program can meet has a stable code. HTTP answers carry it as `code` of an\n[RFC 9457](https://www.rfc-editor.org/rfc/rfc9457) problem, the command line prints it, and `fenflow explain CODE` explains it.\n\n")
	b.WriteString("**Message**: what becomes of a message on the bus: `ack`, done with; `retry`, comes again by itself; `dead_letter`, kept for an operator.\n\n")
	b.WriteString("| code | title | HTTP | message | exit code |\n|---|---|---|---|---|\n")
	for _, e := range Table() {
		fmt.Fprintf(&b, "| [%s](#%s) | %s | %d | `%s` | %d |\n", e.Code, anchor(e.Code), e.Title, e.Status, e.Disposition, e.ExitCode)
	}
	b.WriteString("\n## Exit codes\n\n| exit code | meaning |\n|---|---|\n")
	for _, x := range exitCodes() {
		fmt.Fprintf(&b, "| %d | %s |\n", x.code, x.meaning)
	}
	b.WriteString("\n## Codes and next steps\n")
	for _, e := range Table() {
		fmt.Fprintf(&b, "\n### %s\n\n`%s`: %s.\n\n%s\n", e.Code, e.Kind, e.Title, e.NextStep)
	}
	return b.String()
}

type exitCode struct {
	code    int
	meaning string
}

func exitCodes() []exitCode {
	return []exitCode{
		{ExitOK, "done"},
		{ExitInternal, "internal error"},
		{ExitUsage, "the command line or the request is not understood"},
		{ExitConfig, "the configuration, or a setting that durability rests on, is not usable"},
		{ExitNotFound, "there is no such thing"},
		{ExitRefused, "refused for good"},
		{ExitDenied, "not allowed, or a signature is wrong"},
		{ExitUnavailable, "something fenflow leans on does not answer: try again"},
		{ExitPending, "migrations are pending"},
	}
}

func anchor(code string) string { return strings.ToLower(code) }
