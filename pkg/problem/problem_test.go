package problem_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/fenflow/fenflow/pkg/problem"
)

func TestTable_every_kind_has_one_complete_row(t *testing.T) {
	t.Parallel()
	kinds, codes := map[problem.Kind]bool{}, map[string]bool{}
	last := ""
	for _, e := range problem.Table() {
		require.False(t, kinds[e.Kind], "kind %s is there twice", e.Kind)
		require.False(t, codes[e.Code], "code %s is there twice", e.Code)
		kinds[e.Kind], codes[e.Code] = true, true
		require.Regexp(t, `^FEN-[1-9]\d{3}$`, e.Code)
		require.Greater(t, e.Code, last, "rows stand in the order of their codes")
		last = e.Code
		require.NotEmpty(t, e.Title)
		require.True(t, strings.HasSuffix(e.NextStep, "."), "%s: the next step is a sentence", e.Code)
		require.NotEmpty(t, http.StatusText(e.Status), "%s: %d is no HTTP status", e.Code, e.Status)
		require.GreaterOrEqual(t, e.Status, 400)
		require.Contains(t, []problem.Disposition{problem.Ack, problem.Retry, problem.DeadLetter}, e.Disposition)
		require.NotZero(t, e.ExitCode)
		require.Equal(t, e, e.Kind.Entry())
		found, ok := problem.ByCode(e.Code)
		require.True(t, ok)
		require.Equal(t, e, found)
	}
	require.Equal(t, "FEN-9001", last, "internal is the last row: unknown kinds fall back to it")
}

func TestKind_that_is_unknown_is_internal(t *testing.T) {
	t.Parallel()
	require.Equal(t, "FEN-9001", problem.Kind("never heard of").Code())
	_, ok := problem.ByCode("FEN-0000")
	require.False(t, ok)
}

func TestKindOf_finds_the_outermost_kind(t *testing.T) {
	t.Parallel()
	inner := problem.New(problem.Unavailable, "no answer")
	outer := fmt.Errorf("place order: %w", problem.Wrap(problem.Expired, inner, "too late"))
	require.Equal(t, problem.Expired, problem.KindOf(outer))
	require.ErrorIs(t, outer, inner)
	require.Equal(t, problem.Internal, problem.KindOf(errors.New("plain")))
	require.Equal(t, 0, problem.ExitCodeOf(nil))
	require.Equal(t, problem.ExitUnavailable, problem.ExitCodeOf(outer))
}

func TestDocument_never_shows_a_cause(t *testing.T) {
	t.Parallel()
	secret := errors.New("password is hunter2")
	for _, err := range []error{secret, problem.Wrap(problem.Internal, secret, ""), fmt.Errorf("x: %w", problem.Wrap(problem.DatabaseUnavailable, secret, "no connection"))} {
		raw, marshalErr := json.Marshal(problem.DocumentOf(err, "/v1/orders"))
		require.NoError(t, marshalErr)
		require.NotContains(t, string(raw), "hunter2")
	}
}

func TestDocument_carries_fields_and_next_step(t *testing.T) {
	t.Parallel()
	err := problem.InvalidFields(problem.Field{Field: "amount_fen", Message: "is 0, must be at least 1"})
	raw, marshalErr := json.Marshal(problem.DocumentOf(err, "/v1/orders"))
	require.NoError(t, marshalErr)
	require.JSONEq(t, `{
		"type": "https://github.com/fenflow/fenflow/blob/main/docs/reference/errors.md#fen-3001",
		"title": "request has invalid fields", "status": 422, "code": "FEN-3001",
		"detail": "1 field is invalid", "instance": "/v1/orders",
		"next_step": "Correct the fields listed in `+"`errors`"+` and send the request again.",
		"errors": [{"field": "amount_fen", "message": "is 0, must be at least 1"}]}`, string(raw))
	err.NextStep = "Send 1 or more."
	require.Equal(t, "Send 1 or more.", problem.DocumentOf(err, "").NextStep)
}

func TestError_tells_all_on_one_line_and_Text_on_several(t *testing.T) {
	t.Parallel()
	err := problem.InvalidFields(problem.Field{Field: "a", Message: "is bad"}, problem.Field{Field: "b", Message: "is worse"})
	require.EqualError(t, err, "FEN-3001 request has invalid fields: 2 fields are invalid: a: is bad; b: is worse")
	require.Equal(t, "FEN-3001 request has invalid fields: 2 fields are invalid\n  a: is bad\n  b: is worse\nNext: Correct the fields listed in `errors` and send the request again.", problem.Text(err))
	require.Contains(t, problem.Text(errors.New("boom")), "FEN-9001 internal error\n  boom\nNext: ")
	require.EqualError(t, problem.Wrap(problem.NoWorker, errors.New("timeout"), "asked for 1s"), "FEN-5003 no worker answered in time: asked for 1s: timeout")
}

func TestReference_page_is_up_to_date(t *testing.T) {
	t.Parallel()
	page, err := os.ReadFile("../../docs/reference/errors.md")
	require.NoError(t, err)
	require.Equal(t, problem.Reference(), string(page), "run: make generate")
}
