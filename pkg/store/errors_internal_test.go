package store

import (
	"context"
	"database/sql/driver"
	"errors"
	"io"
	"testing"

	"github.com/lib/pq"
	"github.com/lib/pq/pqerror"
	"github.com/stretchr/testify/require"
)

func TestErrors_say_whether_repeating_helps(t *testing.T) {
	t.Parallel()
	for _, passing := range []error{
		driver.ErrBadConn, io.ErrUnexpectedEOF, context.Canceled, errors.New("connection refused"),
		refused("40P01"), refused("40001"), refused("55P03"), refused("57P01"), refused("57P03"), refused("57014"), refused("08006"),
		refused("53100"), refused("53300"), refused("25006"), refused("42P01"), refused("XX001"),
	} {
		err := failed(t.Context(), "settle", passing)
		require.True(t, Retryable(err), passing)
		require.ErrorIs(t, err, passing)
		require.ErrorContains(t, err, "settle: ")
	}
	for _, broken := range []pqerror.Code{"22021", "22003", "22P02", "23505", "23503", "23514", "21000", "54000", "P0001"} {
		err := failed(t.Context(), "settle", refused(broken))
		require.False(t, Retryable(err), broken)
		require.NotContains(t, err.Error(), "a stored value", "no values in errors")
		require.ErrorContains(t, err, string(broken))
		var known *pq.Error
		require.ErrorAs(t, err, &known)
	}
	require.True(t, Retryable(errors.New("of another package")))
	require.False(t, Retryable(nil))
	require.NoError(t, failed(t.Context(), "settle", nil))
}

func TestErrors_name_the_rule_that_refused(t *testing.T) {
	t.Parallel()
	err := failed(t.Context(), "write changes", &pq.Error{Code: "23514", Constraint: "payments_refunds_within_amount", Message: "a stored value"})
	require.EqualError(t, err, "write changes: PostgreSQL refused a row: payments_refunds_within_amount (SQLSTATE 23514)")
}

func TestErrors_tell_a_cancelled_call_by_its_context(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	require.ErrorIs(t, failed(ctx, "settle", refused("57014")), context.Canceled)
}

func refused(code pqerror.Code) error { return &pq.Error{Code: code, Message: "a stored value"} }
