package ingest_test

import (
	"context"
	"encoding/json"
	"net/http"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/fenflow/fenflow/pkg/bus"
	"github.com/fenflow/fenflow/pkg/pay"
)

const order = `{"out_trade_no":"order-0001","appid":"wx8888888888888888","client":"native","description":"咖啡","amount_fen":100,"currency":"CNY"}`

func (s *stage) place(body string, headers ...string) (int, string) {
	return s.ask("/v1/orders", body, headers...)
}

func (s *stage) ask(path, body string, headers ...string) (int, string) {
	return s.do(http.MethodPost, s.api, path, body, append([]string{"Authorization", "Bearer " + apiKey, "Content-Type", "application/json"}, headers...)...)
}

func TestIngestAPI_places_an_order_through_the_bus(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	s.prove()
	status, answer := s.place(order, "Prefer", "wait=0")
	require.Equal(t, http.StatusAccepted, status, answer)
	require.EqualValues(t, 1, s.messages(bus.StreamCommand))
	commands := make(chan pay.Command, 10)
	s.background(func(ctx context.Context) error {
		return s.worker.ConsumeCommands(ctx, []pay.MchID{mchid}, bus.CommandOptions{}, func(_ context.Context, c pay.Command) (pay.CommandResult, error) {
			commands <- c
			return pay.CommandResult{ID: c.ID, MchID: c.MchID, Status: http.StatusCreated, Body: []byte(`{"state":"awaiting_payment"}`)}, nil
		})
	})
	status, answer = s.place(order, "Prefer", "wait=20")
	require.Equal(t, http.StatusCreated, status, answer)
	require.JSONEq(t, `{"state":"awaiting_payment"}`, answer)
	first, second := <-commands, <-commands
	require.Equal(t, first.Digest, second.Digest, "the same order")
	require.NotEqual(t, first.ID, second.ID, "and two commands")
	require.Equal(t, pay.OutTradeNo("order-0001"), second.OutTradeNo)
	var body map[string]any
	require.NoError(t, json.Unmarshal(second.Body, &body))
	require.InDelta(t, 100, body["amount_fen"], 0)
	require.NotEmpty(t, body["time_expire"])
}

func TestIngestAPI_refuses_bad_orders_and_strangers_before_the_bus(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	s.prove()
	status, answer := s.place(strings.Replace(order, "100", "1.5", 1))
	require.Equal(t, http.StatusUnprocessableEntity, status)
	require.Contains(t, answer, "amount_fen")
	status, _ = s.place(order, "Authorization", "Bearer fk_wrong")
	require.Equal(t, http.StatusUnauthorized, status)
	require.Zero(t, s.messages(bus.StreamCommand))
}

func TestIngestAPI_reads_through_a_worker(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	s.prove()
	read := func() (int, string) {
		return s.get(s.api, "/v1/orders/order%7C0001", "Authorization", "Bearer "+apiKey)
	}
	status, answer := read()
	require.Equal(t, http.StatusServiceUnavailable, status)
	require.Contains(t, answer, "FEN-5003")
	s.serve(bus.RequestReadOrder, func(question []byte) ([]byte, error) {
		return json.Marshal(map[string]any{"status": 200, "body": json.RawMessage(question)})
	})
	require.Eventually(t, func() bool { status, answer = read(); return status == http.StatusOK }, soon, often)
	require.JSONEq(t, `{"mchid":"1900000109","out_trade_no":"order|0001"}`, answer)
}

func TestIngestAPI_hands_on_refunds_and_closes_through_the_bus(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	s.prove()
	commands := make(chan pay.Command, 10)
	s.background(func(ctx context.Context) error {
		return s.worker.ConsumeCommands(ctx, []pay.MchID{mchid}, bus.CommandOptions{}, func(_ context.Context, c pay.Command) (pay.CommandResult, error) {
			commands <- c
			return pay.CommandResult{ID: c.ID, MchID: c.MchID, Status: http.StatusOK, Body: []byte(`{"state":"requested"}`)}, nil
		})
	})
	const refund = `{"out_refund_no":"R|1*@","transaction_id":"4200","amount_fen":60,"reason":"茶凉了"}`
	status, answer := s.ask("/v1/refunds", refund, "Prefer", "wait=20")
	require.Equal(t, http.StatusOK, status, answer)
	require.JSONEq(t, `{"state":"requested"}`, answer)
	c := <-commands
	require.Equal(t, pay.CommandRefundCreate, c.Kind)
	require.Equal(t, pay.OutRefundNo("R|1*@"), c.OutRefundNo)
	require.Empty(t, c.OutTradeNo)
	require.Zero(t, c.Deadline)
	require.JSONEq(t, refund, string(c.Body))

	status, answer = s.ask("/v1/orders/order%7C0001/close", "", "Prefer", "wait=20")
	require.Equal(t, http.StatusOK, status, answer)
	c = <-commands
	require.Equal(t, pay.CommandOrderClose, c.Kind)
	require.Equal(t, pay.OutTradeNo("order|0001"), c.OutTradeNo)
	require.Zero(t, c.Deadline)
	require.JSONEq(t, `{}`, string(c.Body))
}

// A bank account must not lie in a stream: the wish to drive a refund on is a
// question to a worker in memory, and nothing else.
func TestIngestAPI_asks_a_worker_to_act_and_keeps_it_out_of_the_streams(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	s.prove()
	asked := make(chan string, 10)
	for _, subject := range []string{"fenflow.act.check", "fenflow.act.abnormal", "fenflow.read.history", "fenflow.read.refund"} {
		s.serve(subject, func(question []byte) ([]byte, error) {
			asked <- subject + " " + string(question)
			return []byte(`{"status":202,"body":{}}`), nil
		})
	}
	for _, row := range []struct{ method, path, body, asks string }{
		{http.MethodPost, "/v1/orders/order-0001/check", "", `fenflow.act.check {"mchid":"1900000109","out_trade_no":"order-0001"}`},
		{http.MethodPost, "/v1/refunds/R1/abnormal", `{"type":"USER_BANK_CARD","bank_type":"ICBC_DEBIT","bank_account":"6222020200112233445","real_name":"do-not-log-me"}`,
			`fenflow.act.abnormal {"mchid":"1900000109","out_refund_no":"R1","actor":"shop","type":"USER_BANK_CARD","bank_type":"ICBC_DEBIT","bank_account":"6222020200112233445","real_name":"do-not-log-me"}`},
		{http.MethodGet, "/v1/orders/order-0001/history", "", `fenflow.read.history {"mchid":"1900000109","out_trade_no":"order-0001"}`},
		{http.MethodGet, "/v1/refunds/R1", "", `fenflow.read.refund {"mchid":"1900000109","out_refund_no":"R1"}`},
	} {
		require.Eventually(t, func() bool { // until the worker's subscription is known
			status, _ := s.do(row.method, s.api, row.path, row.body, "Authorization", "Bearer "+apiKey, "Content-Type", "application/json")
			return status == http.StatusAccepted
		}, soon, often, row.path)
		require.Equal(t, row.asks, <-asked)
	}
	for _, stream := range []string{bus.StreamNotify, bus.StreamCommand, bus.StreamEvent, bus.StreamRejected} {
		require.Zero(t, s.messages(stream), stream)
	}
	require.NotContains(t, s.log.String(), "6222020200112233445")
}

func TestIngestAPI_answers_503_while_the_broker_is_away(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	s.prove()
	require.NoError(t, s.nats.Stop())
	status, answer := s.place(order)
	require.Equal(t, http.StatusServiceUnavailable, status)
	require.Contains(t, answer, "same out_trade_no")
	require.NoError(t, s.nats.Restart())
}

func TestIngestAPI_rotates_keys_on_SIGHUP(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	s.prove()
	s.writeConfig("", "fk_another")
	s.signals <- syscall.SIGHUP
	require.Eventually(t, func() bool { status, _ := s.place(order, "Prefer", "wait=0"); return status == http.StatusUnauthorized }, soon, often)
	status, _ := s.place(order, "Prefer", "wait=0", "Authorization", "Bearer fk_another")
	require.Equal(t, http.StatusAccepted, status)
}

func TestIngest_finishes_requests_under_way_when_told_to_stop(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	s.prove()
	inHand, release := make(chan struct{}), make(chan struct{})
	answer := sync.OnceFunc(func() { close(release) })
	defer answer() // the stage ends only when all that it began has ended
	s.serve(bus.RequestVerifyV2, verifyV2)
	s.background(func(ctx context.Context) error {
		return s.worker.ConsumeCommands(ctx, []pay.MchID{mchid}, bus.CommandOptions{}, func(_ context.Context, c pay.Command) (pay.CommandResult, error) {
			close(inHand)
			<-release
			return pay.CommandResult{ID: c.ID, MchID: c.MchID, Status: http.StatusCreated, Body: []byte(`{}`)}, nil
		})
	})
	answered := make(chan int, 1)
	go func() { status, _ := s.place(order, "Prefer", "wait=20"); answered <- status }()
	<-inHand
	stopped := make(chan int, 1)
	go func() { stopped <- s.stop() }()
	require.Eventually(t, func() bool { return strings.Contains(s.log.String(), "role stops") }, soon, often)
	answer()
	require.Equal(t, http.StatusCreated, <-answered)
	require.Zero(t, <-stopped)
}
