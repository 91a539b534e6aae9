package operator_test

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/url"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/fenflow/fenflow/pkg/operator"
	"github.com/fenflow/fenflow/pkg/operatorapi"
	kinds "github.com/fenflow/fenflow/pkg/problem"
)

// colleague is a worker that remembers what it was asked and answers as told.
type colleague struct {
	subject  string
	question map[string]any
	answer   []byte
	err      error
}

func (c *colleague) Request(_ context.Context, subject string, data []byte, _ time.Duration) ([]byte, error) {
	c.subject, c.question = subject, nil
	if err := json.Unmarshal(data, &c.question); err != nil {
		return nil, err
	}
	return c.answer, c.err
}

const recoveryID = "0195563c-7d00-7000-8000-0000000000aa"

const recoveryAnswer = `{"recovery_id":"` + recoveryID + `","since":"2026-03-01T04:00:00Z","phase":"messages","needed":true,"busy":false,
	"progress":{"events":{"done":5,"total":5},"notifications":{"done":1,"total":3},"commands":{"done":0,"total":2},"orders":{"done":0,"total":5}},
	"counts":{"events":5,"notifications":1,"orders":2,"commands":0,"commands_known":0,"commands_left":0,"asked":0,"told":0,"problems":1},
	"problems":[{"mchid":"1900000109","out_refund_no":"R|1","detail":"look"}],"started_at":"2026-03-01T05:00:00Z"}`

func (c *colleague) says(t *testing.T, document string) {
	t.Helper()
	raw, err := kinds.WriteAnswer(http.StatusOK, json.RawMessage(document))
	require.NoError(t, err)
	c.answer, c.err = raw, nil
}

func TestRecover_has_a_worker_go_on(t *testing.T) {
	t.Parallel()
	worker := &colleague{}
	s := setup(t, func(o *operator.Options) { o.Worker = worker })
	worker.says(t, recoveryAnswer)
	var r operatorapi.Recovery
	s.post("/operator/v1/recoveries", `{"since":"2026-03-01T12:00:00+08:00","reason":"the disk died"}`).into(t, &r)
	require.Equal(t, "messages", string(r.Phase))
	require.Equal(t, "fenflow.operate.recover", worker.subject)
	require.Equal(t, map[string]any{"since": "2026-03-01T04:00:00Z", "actor": "token:night-shift", "reason": "the disk died"}, worker.question)
	s.post("/operator/v1/recoveries", `{"since":"2026-03-01T12:00:00+08:00","recovery_id":"`+recoveryID+`","reason":"the disk died"}`).into(t, &r)
	require.Equal(t, recoveryID, worker.question["recovery_id"])

	refused, err := kinds.WriteRefusal(kinds.New(kinds.SinceTooLate, "order.paid was told of order T1"))
	require.NoError(t, err)
	worker.answer = refused
	p := s.post("/operator/v1/recoveries", `{"since":"2026-03-01T12:00:00+08:00","reason":"x"}`).problem(t)
	require.Equal(t, "FEN-4019", p.Code)
	require.Contains(t, p.Detail, "T1")
	worker.err = errors.New("nobody serves it")
	require.Equal(t, "FEN-5003", s.post("/operator/v1/recoveries", `{"since":"2026-03-01T12:00:00+08:00","reason":"x"}`).problem(t).Code)
	worker.err = context.DeadlineExceeded
	p = s.post("/operator/v1/recoveries", `{"since":"2026-03-01T12:00:00+08:00","reason":"x"}`).problem(t)
	require.Equal(t, "FEN-4004", p.Code)
	require.Contains(t, p.NextStep, "goes on from there")
}

func TestRecover_refuses_what_it_cannot_understand(t *testing.T) {
	t.Parallel()
	worker := &colleague{}
	s := setup(t, func(o *operator.Options) { o.Worker = worker })
	require.Equal(t, "FEN-3008", s.do(http.MethodPost, "/operator/v1/recoveries", `{"since":"2026-03-01T04:00:00Z","reason":"x"}`, s.read).problem(t).Code)
	require.Equal(t, "FEN-3010", s.do(http.MethodPost, "/operator/v1/recoveries", `{}`, "").problem(t).Code)
	require.Equal(t, "FEN-3005", s.get("/operator/v1/recoveries").problem(t).Code)
	for body, field := range map[string]string{
		`{"reason":"x"}`: "since", `{"since":"yesterday","reason":"x"}`: "since", `{"since":null,"reason":"x"}`: "since",
		`{"since":"2026-03-01T04:00:00Z"}`: "reason", `{"since":"2026-03-01T04:00:00Z","reason":" "}`: "reason",
		`{"since":"2026-03-01T04:00:00Z","reason":"x","recovery_id":"1"}`: "recovery_id", `{"since":"2026-03-01T04:00:00Z","reason":"x","until":"now"}`: "until",
	} {
		p := s.post("/operator/v1/recoveries", body).problem(t)
		require.Equal(t, "FEN-3001", p.Code, body)
		require.Equal(t, field, p.Errors[0].Field, body)
	}
	require.Empty(t, worker.subject, "no worker hears of it")
	require.Equal(t, "FEN-5003", setup(t).post("/operator/v1/recoveries", `{"since":"2026-03-01T04:00:00Z","reason":"x"}`).problem(t).Code, "without a broker")
}

func TestRecoverableCommands_are_listed_page_by_page(t *testing.T) {
	t.Parallel()
	worker := &colleague{}
	s := setup(t, func(o *operator.Options) { o.Worker = worker })
	worker.says(t, `{"commands":[{"stored_at":"2026-03-01T04:00:01Z","mchid":"1900000109","command_id":"`+recoveryID+`","kind":"order.create","out_trade_no":"T1","known":false}],"after":17}`)
	var first operatorapi.RecoverableCommandPage
	s.get("/operator/v1/recoverable-commands?since=2026-03-01T04:00:00Z&limit=1").into(t, &first)
	require.Equal(t, "fenflow.operate.recoverable", worker.subject)
	require.Equal(t, map[string]any{"since": "2026-03-01T04:00:00Z", "after": 0.0, "limit": 1.0}, worker.question)
	require.Len(t, first.Commands, 1)
	require.NotNil(t, first.NextCursor)

	worker.says(t, `{"commands":[]}`)
	var last operatorapi.RecoverableCommandPage
	s.get("/operator/v1/recoverable-commands?since=2026-03-01T04:00:00Z&cursor="+url.QueryEscape(*first.NextCursor)).into(t, &last)
	require.EqualValues(t, 17, worker.question["after"])
	require.Nil(t, last.NextCursor)

	worker.subject = ""
	for query, field := range map[string]string{"": "since", "?since=now": "since", "?since=2026-03-01T04:00:00Z&cursor=x": "cursor", "?since=2026-03-01T04:00:00Z&limit=0": "limit", "?since=2026-03-01T04:00:00Z&all=1": "all"} {
		p := s.get("/operator/v1/recoverable-commands" + query).problem(t)
		require.Equal(t, "FEN-3001", p.Code)
		require.Equal(t, field, p.Errors[0].Field)
	}
	require.Empty(t, worker.subject)
}
