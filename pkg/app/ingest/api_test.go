package ingest_test

import (
	"context"
	"encoding/json"
	"net/http"
	"strings"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/fenflow/fenflow/pkg/bus"
	"github.com/fenflow/fenflow/pkg/pay"
)

const order = `{"out_trade_no":"order-0001","appid":"wx8888888888888888","client":"native","description":"咖啡","amount_fen":100,"currency":"CNY"}`

func (s *stage) place(body string, headers ...string) (int, string) {
	return s.do(http.MethodPost, s.api, "/v1/orders", body, append([]string{"Authorization", "Bearer " + apiKey, "Content-Type", "application/json"}, headers...)...)
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
	close(release)
	require.Equal(t, http.StatusCreated, <-answered)
	require.Zero(t, <-stopped)
}
