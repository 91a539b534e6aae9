package command_test

import (
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestCreate_a_repeat_is_the_same_order_however_little_time_is_left(t *testing.T) {
	t.Parallel()
	b := setup(t)
	at := b.clock.Now().Add(90 * time.Second).Truncate(time.Second).Format(time.RFC3339)
	short := func(f fields) { f["expires_at"], f["time_expire"] = at, at }
	result, _ := b.execute(b.create("T00000001", short))
	require.Equal(t, http.StatusCreated, result.Status, string(result.Body))
	b.clock.Advance(40 * time.Second) // less than a minute is left
	again, r := b.execute(b.create("T00000001", short))
	require.Equal(t, http.StatusOK, again.Status, string(again.Body))
	require.NotEmpty(t, r.Pay)
	b.clock.Advance(time.Hour) // none is left
	again, r = b.execute(b.create("T00000001", short))
	require.Equal(t, http.StatusOK, again.Status, string(again.Body))
	require.Empty(t, r.Pay)

	late, r := b.execute(b.create("T00000002", short))
	require.Equal(t, http.StatusUnprocessableEntity, late.Status)
	require.Contains(t, string(late.Body), `"field":"expires_at"`)
	require.Equal(t, "FEN-3001", r.Code)
	require.Zero(t, b.count(`SELECT count(*) FROM orders WHERE out_trade_no = 'T00000002'`))
}

func TestCreate_an_order_without_credential_is_answered_as_it_stands_once_its_time_is_over(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.wire.fails(hangs, hangs, hangs)
	result, _ := b.execute(b.create("T00000001"))
	require.Equal(t, http.StatusServiceUnavailable, result.Status, string(result.Body))
	b.clock.Advance(3 * time.Hour)
	again, r := b.execute(b.create("T00000001"))
	require.Equal(t, http.StatusOK, again.Status, string(again.Body))
	require.Equal(t, "created", r.State)
	require.Empty(t, r.Pay)
}
