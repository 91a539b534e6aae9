package reverify_test

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/fenflow/fenflow/pkg/problem"
	"github.com/fenflow/fenflow/pkg/reverify"
)

func (s *stage) list(f reverify.Filter) reverify.Page {
	s.t.Helper()
	p, err := s.service.List(s.t.Context(), f)
	require.NoError(s.t, err)
	return p
}

func numbers(p reverify.Page) []uint64 {
	all := []uint64{}
	for _, s := range p.Samples {
		all = append(all, s.Sequence)
	}
	return all
}

func TestList_gives_the_newest_first_page_by_page(t *testing.T) {
	t.Parallel()
	s := setup(t)
	for i := range 5 {
		env := s.genuine("TEA")
		if i%2 == 1 {
			env.MchID = other
		}
		s.reject(env, []string{"bad_signature", "unknown_serial"}[i%2])
	}
	first := s.list(reverify.Filter{Limit: 2})
	require.Equal(t, []uint64{5, 4}, numbers(first))
	second := s.list(reverify.Filter{Limit: 2, Before: first.Before})
	require.Equal(t, []uint64{3, 2}, numbers(second))
	third := s.list(reverify.Filter{Limit: 2, Before: second.Before})
	require.Equal(t, []uint64{1}, numbers(third))
	require.Zero(t, third.Before)
	require.Equal(t, []uint64{4, 2}, numbers(s.list(reverify.Filter{Limit: 9, MchID: other})))
	require.Equal(t, []uint64{5, 3, 1}, numbers(s.list(reverify.Filter{Limit: 9, Reason: "bad_signature"})))
	require.Empty(t, numbers(s.list(reverify.Filter{Limit: 9, MchID: other, Reason: "bad_signature"})))
	sample := first.Samples[0]
	require.Equal(t, s.shop.PublicKeyID, sample.KeyID)
	require.Equal(t, "turned away", sample.Detail)
	require.NotZero(t, sample.Bytes)
}

func TestList_knows_since_when(t *testing.T) {
	t.Parallel()
	s := setup(t)
	now := time.Now().UTC().Truncate(time.Second)
	s.reject(s.genuineAt("OLD", now.Add(-time.Hour)), "x")
	s.reject(s.genuineAt("NEW", now), "x")
	require.Equal(t, []uint64{2}, numbers(s.list(reverify.Filter{Limit: 9, Since: now.Add(-time.Minute)})))
	require.Empty(t, numbers(s.list(reverify.Filter{Limit: 9, Since: now.Add(time.Hour)})))
}

func TestShow_gives_the_bytes(t *testing.T) {
	t.Parallel()
	s := setup(t)
	env := s.genuine("TEA")
	w, err := s.service.Show(t.Context(), s.reject(env, "x"))
	require.NoError(t, err)
	require.Equal(t, env.Body, w.Body)
	require.Equal(t, env.Headers, w.Headers)
	_, err = s.service.Show(t.Context(), 2)
	require.Equal(t, problem.UnknownSample, problem.KindOf(err))
}

func TestAnswers_are_what_the_console_asks_for(t *testing.T) {
	t.Parallel()
	s := setup(t)
	n := s.reject(s.genuine("TEA"), "x")
	ask := func(question any, answer func([]byte) ([]byte, error)) (json.RawMessage, error) {
		raw, err := json.Marshal(question)
		require.NoError(t, err)
		raw, err = answer(raw)
		if err != nil {
			return nil, err
		}
		return problem.ReadAnswer(raw)
	}
	samples := func(q []byte) ([]byte, error) { return s.service.AnswerSamples(t.Context(), q) }
	verify := func(q []byte) ([]byte, error) { return s.service.AnswerReverify(t.Context(), q) }
	publish := func(q []byte) ([]byte, error) { return s.service.AnswerPublish(t.Context(), q) }
	page, err := ask(reverify.Which{Filter: reverify.Filter{Limit: 5}}, samples)
	require.NoError(t, err)
	require.Contains(t, string(page), `"sequence":1`)
	_, err = ask(reverify.Which{Sequence: 7}, samples)
	require.Equal(t, problem.UnknownSample, problem.KindOf(err))
	found, err := ask(reverify.Act{Sequences: []uint64{n}}, verify)
	require.NoError(t, err)
	require.Contains(t, string(found), `"passes":true`)
	for _, nameless := range []reverify.Act{{Sequences: []uint64{n}, Why: "x"}, {Sequences: []uint64{n}, Actor: "token:ada"}, {Actor: "token:ada", Why: "x"}} {
		_, err = ask(nameless, publish)
		require.Error(t, err)
	}
	require.Empty(t, s.replayed())
	_, err = ask(reverify.Act{Sequences: []uint64{n}, Actor: "token:ada", Why: "x"}, publish)
	require.NoError(t, err)
	require.Len(t, s.replayed(), 1)
}
