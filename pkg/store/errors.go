package store

import (
	"context"
	"errors"
	"fmt"

	"github.com/lib/pq"
	"github.com/lib/pq/pqerror"
)

// Error is a failed step of the store. It answers the one question a caller
// has: does the same call, made later, have a chance?
//
// A broken row (a value that PostgreSQL refuses, a rule of the schema, a
// guarded transition) never gets better by repeating. Everything else (server
// away, deadlock, disk full, a commit whose outcome is unknown) does, and
// every call of this package may be repeated safely.
type Error struct {
	step   string
	broken bool
	err    error
}

// Error names the step and the cause; it never holds a stored value.
func (e *Error) Error() string { return e.step + ": " + e.err.Error() }

// Unwrap gives the driver's error.
func (e *Error) Unwrap() error { return e.err }

// Retryable says whether the same call may work later.
func (e *Error) Retryable() bool { return !e.broken }

// Retryable says whether the call that failed with err may work later.
// An error that is not this package's is taken for a passing fault.
func Retryable(err error) bool {
	var e *Error
	return err != nil && (!errors.As(err, &e) || e.Retryable())
}

// brokenf reports that a guarded statement touched other rows than it had to.
// The rows were locked, so that repeating would find the same.
func brokenf(step, format string, args ...any) error {
	return &Error{step: step, broken: true, err: fmt.Errorf(format, args...)}
}

// failed wraps the error of one step; nil stays nil.
func failed(ctx context.Context, step string, err error) error {
	if err == nil {
		return nil
	}
	var known *Error
	if errors.As(err, &known) {
		return err
	}
	var refused *pq.Error
	if !errors.As(err, &refused) {
		return &Error{step: step, err: err}
	}
	// The driver reports a cancelled call as 57014 and drops the context's own error.
	if cause := ctx.Err(); cause != nil && refused.Code == pqerror.QueryCanceled {
		return &Error{step: step, err: fmt.Errorf("%w: %w", cause, err)}
	}
	return &Error{step: step, broken: isBrokenRow(refused), err: describe(refused)}
}

// isBrokenRow knows the classes of SQLSTATE that are about values: 21
// cardinality, 22 data, 23 integrity, 54 limits (an oversize key), P0 raised by
// a function. All others are about the server, its schema or its load: splitting
// a batch would not help, and no row is to blame.
// https://www.postgresql.org/docs/15/errcodes-appendix.html
func isBrokenRow(e *pq.Error) bool {
	switch e.Code.Class() {
	case "21", "22", "23", "54", "P0":
		return true
	default:
		return false
	}
}

// refusal is what PostgreSQL refused, without the values that its messages
// quote ("invalid input syntax for type bigint: …").
type refusal struct {
	text string
	err  *pq.Error
}

func (r refusal) Error() string { return r.text }
func (r refusal) Unwrap() error { return r.err }

// describe keeps the rule's name, which is what a person needs, in front.
func describe(e *pq.Error) error {
	switch {
	case e.Constraint != "":
		return refusal{text: fmt.Sprintf("PostgreSQL refused a row: %s (SQLSTATE %s)", e.Constraint, e.Code), err: e}
	case isBrokenRow(e):
		return refusal{text: fmt.Sprintf("PostgreSQL refused a value: %s (SQLSTATE %s)", e.Code.Name(), e.Code), err: e}
	default:
		return e
	}
}
