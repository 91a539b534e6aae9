package operator_test

import (
	"context"
	"encoding/json"
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/fenflow/fenflow/pkg/bus"
	"github.com/fenflow/fenflow/pkg/operator"
	"github.com/fenflow/fenflow/pkg/operatorapi"
	"github.com/fenflow/fenflow/pkg/pay"
	problems "github.com/fenflow/fenflow/pkg/problem"
)

const eventsPath = "/operator/v1/events"

func workerPage(next int) json.RawMessage {
	return json.RawMessage(`{"events":[{"sequence":7,"stored_at":"2026-03-01T04:00:00Z","mchid":"1900000109","fact":"order.paid","event":{"id":"e"}},
		{"sequence":8,"stored_at":"2026-03-01T04:00:01Z","mchid":"x","fact":"y.z","unreadable":"no JSON"}],
		"stream":{"made_at":"2026-03-01T00:00:00.123456789Z","first_sequence":1,"last_sequence":8},"restarted":false,"gaps":[{"from":1,"to":2}],"more":false,"next":` +
		map[int]string{8: "8", 9: "9"}[next] + `}`)
}

func TestEvents_are_asked_of_a_worker_and_the_cursor_knows_the_stream(t *testing.T) {
	t.Parallel()
	w := &answering{answers: map[string]any{bus.RequestOperateEvents: workerPage(8)}}
	s := setup(t, func(o *operator.Options) { o.Worker = w })
	var first operatorapi.EventPage
	s.get(eventsPath+"?mchid=1900000109&fact=order.paid&limit=2").into(t, &first)
	w.wasAsked(t, bus.RequestOperateEvents, map[string]any{"mchid": "1900000109", "fact": "order.paid", "latest": true, "limit": 2.0})
	require.JSONEq(t, `{"id":"e"}`, string(*first.Events[0].Event))
	require.Nil(t, first.Events[1].Event)
	require.EqualValues(t, 2, first.Gaps[0].To)

	var second operatorapi.EventPage
	s.get(eventsPath+"?cursor="+first.NextCursor).into(t, &second)
	w.wasAsked(t, bus.RequestOperateEvents, map[string]any{"after": 8.0, "stream": "2026-03-01T00:00:00.123456789Z", "limit": 50.0})
	require.Equal(t, first.NextCursor, second.NextCursor)
	s.get(eventsPath+"?after=0").into(t, &second)
	w.wasAsked(t, bus.RequestOperateEvents, map[string]any{"limit": 50.0}, "from the first one on")
	s.get(eventsPath+"?since=2026-03-01T12:00:00%2B08:00").into(t, &second)
	w.wasAsked(t, bus.RequestOperateEvents, map[string]any{"since": "2026-03-01T04:00:00Z", "limit": 50.0})
}

func TestEvents_refuses_what_makes_no_sense_and_says_so(t *testing.T) {
	t.Parallel()
	w := &answering{answers: map[string]any{bus.RequestOperateEvents: workerPage(9)}}
	s := setup(t, func(o *operator.Options) { o.Worker = w })
	var page operatorapi.EventPage
	s.get(eventsPath).into(t, &page)
	for query, field := range map[string]string{
		"?after=-1": "after", "?after=x": "after", "?after=9223372036854775808": "after", "?fact=order.stolen": "fact", "?mchid=1": "mchid",
		"?after=1&since=2026-03-01T00:00:00Z": "after", "?after=1&cursor=" + page.NextCursor: "after", "?cursor=x": "cursor", "?limit=501": "limit", "?from=1": "from",
	} {
		p := s.get(eventsPath + query).problem(t)
		require.Equal(t, "FEN-3001", p.Code, query)
		require.Equal(t, field, p.Errors[0].Field, query)
	}
	w.answers[bus.RequestOperateEvents] = problems.Newf(problems.BeyondEnd, "after=99: its last sequence is 8")
	require.Equal(t, "FEN-3024", s.get(eventsPath+"?after=99").problem(t).Code)
	w.answers[bus.RequestOperateEvents] = context.DeadlineExceeded
	require.Equal(t, "FEN-4004", s.get(eventsPath).problem(t).Code)
	delete(w.answers, bus.RequestOperateEvents)
	require.Equal(t, "FEN-5003", s.get(eventsPath).problem(t).Code)
	require.Equal(t, http.StatusUnauthorized, s.do(http.MethodGet, eventsPath, "", "").status)
	require.Equal(t, "FEN-5003", setup(t).get(eventsPath).problem(t).Code, "a console without NATS")
}

// at connects to the stage's books under a name, as a role does.
func (s *stage) at(name string) {
	s.t.Helper()
	conn, err := s.sql.Conn(s.t.Context())
	require.NoError(s.t, err)
	s.t.Cleanup(func() { _ = conn.Close() })
	_, err = conn.ExecContext(s.t.Context(), "SELECT set_config('application_name', $1, false)", name)
	require.NoError(s.t, err)
}

func (s *stage) roles() map[string]operatorapi.RoleStatus {
	s.t.Helper()
	var status operatorapi.Status
	s.get(statusPath).into(s.t, &status)
	roles := map[string]operatorapi.RoleStatus{}
	for _, r := range status.Roles {
		roles[string(r.Role)] = r
	}
	require.Len(s.t, roles, 4)
	return roles
}

func TestStatus_counts_the_processes_of_each_role(t *testing.T) {
	t.Parallel()
	since := func(minute int) string { return noon.Add(time.Duration(minute) * time.Minute).Format(time.RFC3339) }
	w := &answering{answers: map[string]any{bus.RequestOperateConnections: json.RawMessage(`{"connections":[
		{"name":"fenflow-notify/aaaaaa/v1.2.3","since":"` + since(3) + `"},{"name":"fenflow-api/aaaaaa/v1.2.3","since":"` + since(1) + `"},
		{"name":"fenflow-notify/bbbbbb/v1.2.4","since":"` + since(2) + `"},{"name":"fenflow-worker/cccccc/v1.2.3","since":"` + since(2) + `"},
		{"name":"fenflow-subscriber","since":"` + since(0) + `"}]}`)}}
	s := setup(t, func(o *operator.Options) { o.Worker = w })
	for _, name := range []string{
		pay.ConnectionName("worker", "cccccc", "v1.2.3"), pay.ConnectionName("worker-commands", "cccccc", "v1.2.3"), pay.ConnectionName("worker", "dddddd", "v1.2.3"),
		pay.ConnectionName("console", "eeeeee", "v1.2.3"), "fenflow-cli", "psql",
	} {
		s.at(name)
	}
	roles := s.roles()
	require.Equal(t, 2*time.Second, w.timeout, "a status does not hang on a broker")
	ingest := roles["ingest"]
	require.Equal(t, operatorapi.RoleAlive, ingest.State)
	require.Equal(t, 2, ingest.Processes, "two listeners of one process are one")
	require.Equal(t, since(1), ingest.Since.Format(time.RFC3339Nano)[:19]+"Z")
	require.Equal(t, []string{"v1.2.3", "v1.2.4"}, ingest.Versions)
	require.Equal(t, 2, roles["worker"].Processes, "one is in both lists")
	require.Equal(t, 1, roles["console"].Processes)
	require.Equal(t, operatorapi.RoleMissing, roles["reconciler"].State)
	require.Zero(t, roles["reconciler"].Processes)
	require.Contains(t, *roles["reconciler"].NextStep, "reconciler --config")
}

func TestStatus_says_what_it_cannot_know_of_roles(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		worker operator.Worker
		want   string
	}{
		"no NATS at all":                  {nil, "no way to NATS"},
		"a broker or worker that is away": {&answering{}, "NATS is away, or no worker runs"},
		"a worker that says nothing":      {&answering{answers: map[string]any{bus.RequestOperateConnections: context.DeadlineExceeded}}, "no worker answered within 2s"},
		"a worker that says nonsense":     {&answering{answers: map[string]any{bus.RequestOperateConnections: "x"}}, "cannot be read"},
		"a monitoring port that is away":  {&answering{answers: map[string]any{bus.RequestOperateConnections: map[string]any{"connections": []string{}, "incomplete": "a\nb"}}}, "a; b"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := setup(t, func(o *operator.Options) { o.Worker = c.worker })
			s.at(pay.ConnectionName("worker", "cccccc", "v1"))
			roles := s.roles()
			require.Equal(t, operatorapi.RoleUnknown, roles["ingest"].State)
			require.Contains(t, *roles["ingest"].Detail, c.want)
			require.Equal(t, operatorapi.RoleAlive, roles["worker"].State, "PostgreSQL lists it")
			require.Equal(t, operatorapi.RoleMissing, roles["reconciler"].State)
		})
	}
}
