package problem_test

import (
	"errors"
	"net/http"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/fenflow/fenflow/pkg/problem"
)

func TestAnswer_crosses_over_as_it_was(t *testing.T) {
	t.Parallel()
	raw, err := problem.WriteAnswer(http.StatusOK, map[string]int{"count": 3})
	require.NoError(t, err)
	body, err := problem.ReadAnswer(raw)
	require.NoError(t, err)
	require.JSONEq(t, `{"count":3}`, string(body))

	was := &problem.Error{Kind: problem.Refused, Detail: "no", NextStep: "Do this.", Fields: []problem.Field{{Field: "a", Message: "b"}}, Cause: errors.New("s3cret")}
	raw, err = problem.WriteRefusal(was)
	require.NoError(t, err)
	require.NotContains(t, string(raw), "s3cret")
	_, err = problem.ReadAnswer(raw)
	var is *problem.Error
	require.ErrorAs(t, err, &is)
	is.Cause, was.Cause = nil, nil
	require.Equal(t, was, is)
}

func TestReadAnswer_takes_rubbish_as_a_fault_of_ours(t *testing.T) {
	t.Parallel()
	for _, raw := range []string{"", "{", `{"status":404,"body":"x"}`, `{"status":404,"body":{"code":"FEN-0000"}}`} {
		_, err := problem.ReadAnswer([]byte(raw))
		require.Equal(t, problem.Internal, problem.EntryOf(err).Kind, "%q", raw)
	}
}
