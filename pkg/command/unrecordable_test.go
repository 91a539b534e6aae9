package command_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/fenflow/fenflow/pkg/pay"
)

// A command that cannot be written down must not come back for ever: it would
// hold one of its merchant's places until somebody looks.
func TestExecute_ends_a_command_that_has_no_place_in_the_books(t *testing.T) {
	t.Parallel()
	b := setup(t)
	cmd := b.create("T-unrecordable")
	cmd.ID = "not a UUID"
	result, err := b.service.Execute(t.Context(), cmd)
	require.NoError(t, err)
	require.Equal(t, pay.CommandRefused, result.Outcome)
	require.Zero(t, b.count(`SELECT count(*) FROM orders`))
	require.Empty(t, b.wire.prepays(), "WeChat Pay was not called")
}
