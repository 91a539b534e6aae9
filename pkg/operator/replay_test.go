package operator_test

import (
	"net/http"
	"strings"
	"testing"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/fenflow/fenflow/pkg/operatorapi"
	"github.com/fenflow/fenflow/pkg/pay"
)

func replayPath(d pay.Delivery) string {
	return "/operator/v1/dead-letters/" + string(d.ID) + "/replay"
}

func (s *stage) set(d pay.Delivery, columns string) {
	s.t.Helper()
	_, err := s.sql.ExecContext(s.t.Context(), "UPDATE dead_letters SET "+columns+" WHERE delivery_id = $1", string(d.ID))
	require.NoError(s.t, err)
}

func TestReplay_lets_an_open_letter_be_tried_again(t *testing.T) {
	t.Parallel()
	s := setup(t)
	d := s.letter(order(shop, "order-0001"), pay.LetterMismatch)
	for range 2 { // the repeat leaves it to the try that is under way
		var letter operatorapi.Letter
		s.post(replayPath(d), `{"reason":"the order is there"}`).into(t, &letter)
		require.Equal(t, "waiting", string(letter.State))
	}
	require.Equal(t, "1", s.text("SELECT count(*) FROM audit WHERE action = 'dead_letter.replay' AND actor = 'token:night-shift' AND subject = $1", string(d.ID)))
	require.Equal(t, "FEN-3008", s.do(http.MethodPost, replayPath(d), `{"reason":"x"}`, s.read).problem(t).Code)
	require.Equal(t, "FEN-3001", s.post(replayPath(d), `{"reason":""}`).problem(t).Code)
	require.Equal(t, "FEN-3012", s.post(replayPath(pay.Delivery{ID: pay.DeliveryID(uuid.NewString())}), `{"reason":"x"}`).problem(t).Code)
}

func TestReplay_is_for_open_notifications_only(t *testing.T) {
	t.Parallel()
	s := setup(t)
	resolved, discarded, answered := s.letter(order(shop, "order-0001"), pay.LetterMismatch), s.letter(order(shop, "order-0002"), pay.LetterMismatch), s.letter(order(shop, "order-0003"), pay.LetterMalformed)
	s.set(resolved, "state = 'resolved', resolved_at = now()")
	s.set(discarded, "state = 'discarded'")
	s.set(answered, "kind = 'answer'")
	for d, code := range map[*pay.Delivery]string{&resolved: "FEN-4013", &discarded: "FEN-4013", &answered: "FEN-4015"} {
		require.Equal(t, code, s.post(replayPath(*d), `{"reason":"x"}`).problem(t).Code)
	}
	var none operatorapi.Replay
	answer := s.post("/operator/v1/dead-letter-replays", `{"limit":500,"reason":"x"}`)
	answer.into(t, &none)
	require.JSONEq(t, `{"delivery_ids":[]}`, answer.body)
	require.Equal(t, "0", s.text("SELECT count(*) FROM audit WHERE action = 'dead_letter.replay'"))
}

func TestReplays_of_several_are_named_and_can_be_followed(t *testing.T) {
	t.Parallel()
	s := setup(t)
	first, second := s.letter(order(shop, "order-0001"), pay.LetterMismatch), s.letter(order(shop, "order-0002"), pay.LetterMismatch)
	third := s.letter(order(other, "order-0003"), pay.LetterMalformed)
	var some operatorapi.Replay
	s.post("/operator/v1/dead-letter-replays", `{"mchid":"`+string(shop)+`","letter_reason":"mismatch","since":"`+noon.Format("2006-01-02T15:04:05Z07:00")+`","limit":1,"reason":"x"}`).into(t, &some)
	require.Len(t, some.DeliveryIds, 1)
	require.Equal(t, string(first.ID), some.DeliveryIds[0].String())
	s.post("/operator/v1/dead-letter-replays", `{"delivery_ids":["`+strings.ToUpper(string(second.ID))+`","`+string(first.ID)+`","`+uuid.NewString()+`"],"reason":"x"}`).into(t, &some)
	require.Len(t, some.DeliveryIds, 1)
	require.Equal(t, string(second.ID), some.DeliveryIds[0].String())

	s.set(first, "state = 'resolved', resolved_at = now(), next_retry_at = NULL")
	var page operatorapi.LetterPage
	s.get("/operator/v1/dead-letters?delivery_id="+string(first.ID)+"&delivery_id="+string(third.ID)+"&delivery_id="+uuid.NewString()).into(t, &page)
	require.Len(t, page.Letters, 2)
	require.Equal(t, "resolved", string(page.Letters[0].State))
	require.Equal(t, "open", string(page.Letters[1].State))
	hundred := strings.TrimSuffix(strings.Repeat("delivery_id="+string(third.ID)+"&", 100), "&")
	s.get("/operator/v1/dead-letters?"+hundred).into(t, &page)
	require.Len(t, page.Letters, 1)
}

func TestReplays_that_are_not_understood_are_refused_by_field(t *testing.T) {
	t.Parallel()
	s := setup(t)
	ids := strings.Repeat(`"`+uuid.NewString()+`",`, 101)
	for body, fields := range map[string]string{
		`{}`:                                                       "limit reason",
		`{"limit":1}`:                                              "reason",
		`{"reason":"x"}`:                                           "limit",
		`{"reason":"x","limit":0}`:                                 "limit",
		`{"reason":"x","limit":501}`:                               "limit",
		`{"reason":"x","limit":1.5}`:                               "limit",
		`{"reason":"x","limit":"1"}`:                               "limit",
		`{"reason":"x","limit":null}`:                              "limit",
		`{"reason":"x","limit":1,"mchid":"1"}`:                     "mchid",
		`{"reason":"x","limit":1,"state":"x"}`:                     "state",
		`{"reason":"x","limit":1,"since":"2 h"}`:                   "since",
		`{"reason":"x","limit":1,"letter_reason":"late"}`:          "letter_reason",
		`{"reason":"x","delivery_ids":[]}`:                         "delivery_ids",
		`{"reason":"x","delivery_ids":null}`:                       "delivery_ids",
		`{"reason":"x","delivery_ids":["x"]}`:                      "delivery_ids",
		`{"reason":"x","delivery_ids":[` + ids[:len(ids)-1] + `]}`: "delivery_ids",
		`{"reason":"x","delivery_ids":["` + uuid.NewString() + `"],"limit":1}`:           "limit",
		`{"reason":"x","delivery_ids":["` + uuid.NewString() + `"],"mchid":"190000010"}`: "mchid",
	} {
		p := s.post("/operator/v1/dead-letter-replays", body).problem(t)
		require.Equal(t, "FEN-3001", p.Code, body)
		var named []string
		for _, e := range p.Errors {
			named = append(named, e.Field)
		}
		require.Equal(t, fields, strings.Join(named, " "), body)
	}
	require.Equal(t, "FEN-3008", s.do(http.MethodPost, "/operator/v1/dead-letter-replays", `{"limit":1,"reason":"x"}`, s.read).problem(t).Code)
}
