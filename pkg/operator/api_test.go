package operator_test

import (
	"encoding/base64"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/fenflow/fenflow/pkg/operatorapi"
	"github.com/fenflow/fenflow/pkg/pay"
)

func TestStatus_is_one_screen_of_what_waits(t *testing.T) {
	t.Parallel()
	s := setup(t)
	var empty operatorapi.Status
	s.get(statusPath).into(t, &empty)
	require.Zero(t, empty.Orders.Count)
	require.Nil(t, empty.Orders.OldestAt)
	require.Equal(t, "unknown", string(empty.Merchants[0].Gear), "a configured merchant that nobody has judged")

	s.place(shop, "order-0001")
	s.letter(order(shop, "order-0002"), pay.LetterMismatch)
	_, _, err := s.ShiftGear(t.Context(), shop)
	require.NoError(t, err)
	var full operatorapi.Status
	s.get(statusPath).into(t, &full)
	require.Equal(t, 1, full.Orders.Count)
	require.True(t, full.Orders.OldestAt.Equal(noon))
	require.Equal(t, 1, full.Letters.Count)
	require.Equal(t, 1, full.Outbox.Count)
	require.Len(t, full.Merchants, 2)
	require.Equal(t, "tight", string(full.Merchants[0].Gear))
}

func TestOrders_are_paged_newest_first_and_none_is_missed_or_told_twice(t *testing.T) {
	t.Parallel()
	s := setup(t)
	var want []string
	for i := range 7 { // three at one instant, so that pages end between equals
		o := s.placeAt(shop, numbered("order", i), noon.Add(time.Duration(i/3)*time.Second))
		want = append(want, string(o.OutTradeNo))
	}
	s.place(other, "of-another-shop")
	var got []string
	path := "/operator/v1/orders?limit=2&mchid=" + string(shop)
	for next, pages := path, 0; next != ""; pages++ {
		require.Less(t, pages, 5)
		var page operatorapi.OrderPage
		s.get(next).into(t, &page)
		next = ""
		for _, o := range page.Orders {
			got = append(got, o.OutTradeNo)
		}
		if page.NextCursor != nil {
			next = path + "&cursor=" + *page.NextCursor
		}
	}
	require.ElementsMatch(t, want, got)
	require.Equal(t, want[6], got[0])

	s.pay(order(shop, numbered("order", 0)), "4200000000000000000000000001", "EV-1")
	var paid operatorapi.OrderPage
	s.get("/operator/v1/orders?state=paid&since="+noon.Format(time.RFC3339Nano)).into(t, &paid)
	require.Len(t, paid.Orders, 1)
	require.Equal(t, "4200000000000000000000000001", *paid.Orders[0].TransactionID)
	require.Nil(t, paid.NextCursor)
	var none operatorapi.OrderPage
	answer := s.get("/operator/v1/orders?since=" + noon.Add(time.Hour).Format(time.RFC3339))
	answer.into(t, &none)
	require.JSONEq(t, `{"orders":[]}`, answer.body)
}

func TestStory_is_found_by_any_number(t *testing.T) {
	t.Parallel()
	s := setup(t)
	o := s.place(shop, "order|0001*-_")
	d := s.pay(o, "4200000000000000000000000001", "EV-1")
	event := s.text("SELECT event_id::text FROM outbox WHERE payload LIKE '%order.paid%'")
	for number, by := range map[string]string{
		"order|0001*-_": "out_trade_no", "4200000000000000000000000001": "transaction_id", string(d.ID): "delivery_id", "EV-1": "notification_id", event: "event_id",
	} {
		var story operatorapi.Story
		s.get("/operator/v1/stories/"+url.PathEscape(number)).into(t, &story)
		require.Equal(t, by, string(story.FoundBy))
		require.Equal(t, string(o.OutTradeNo), story.Order.OutTradeNo)
		require.Equal(t, "paid", string(story.Order.State))
		require.Len(t, story.Payments, 1)
		kinds := map[string]int{}
		for i, m := range story.Timeline {
			kinds[string(m.Kind)]++
			require.False(t, i > 0 && m.At.Before(story.Timeline[i-1].At), "oldest first")
		}
		require.Equal(t, 2, kinds["history"])
		require.Equal(t, 1, kinds["delivery"])
		require.GreaterOrEqual(t, kinds["event"], 2)
	}
	require.Contains(t, s.logs.String(), "number=EV-1")
	require.Contains(t, s.get("/operator/v1/stories/order|0001*-_").body, `"out_trade_no":"order|0001*-_"`, "unescaped, too")
}

func TestStory_of_a_number_that_means_several_orders_names_them(t *testing.T) {
	t.Parallel()
	s := setup(t)
	s.place(shop, "order-0001")
	s.place(other, "order-0001")
	several := s.get("/operator/v1/stories/order-0001")
	require.Equal(t, http.StatusConflict, several.status)
	p := several.problem(t)
	require.Equal(t, "FEN-4012", p.Code)
	require.Len(t, p.Candidates, 2)
	for _, c := range p.Candidates {
		require.Equal(t, "out_trade_no", c.FoundBy)
		var story operatorapi.Story
		s.get("/operator/v1/stories/"+c.OutTradeNo+"?mchid="+c.MchID).into(t, &story)
		require.Equal(t, c.MchID, story.Order.Mchid)
	}
	nothing := s.get("/operator/v1/stories/order-0002")
	require.Equal(t, http.StatusNotFound, nothing.status)
	require.Equal(t, "FEN-3011", nothing.problem(t).Code)
	require.Equal(t, "FEN-3011", s.get("/operator/v1/stories/order-0001?mchid=1900000111").problem(t).Code)
}

// A customer has paid under a number that no order has: the money is in a letter.
func TestStories_name_the_letter_of_money_that_no_order_explains(t *testing.T) {
	t.Parallel()
	s := setup(t)
	d := s.letter(order(shop, "unknown-0001"), pay.LetterUnknownOrder)
	for _, number := range []string{"unknown-0001", "4200000000000000000000009999", string(d.ID)} {
		answer := s.get("/operator/v1/stories/" + number)
		require.Equal(t, http.StatusNotFound, answer.status)
		require.Equal(t, "FEN-3011", answer.problem(t).Code)
		require.Contains(t, answer.problem(t).NextStep, "fenflow dead-letter show "+string(d.ID))
		require.NotContains(t, s.get("/operator/v1/stories/"+number+"?mchid="+string(other)).problem(t).NextStep, string(d.ID))
	}
}

func TestLetters_are_listed_grouped_and_shown_with_their_bytes(t *testing.T) {
	t.Parallel()
	s := setup(t)
	var ids []string
	for i := range 3 {
		ids = append(ids, string(s.letter(order(shop, numbered("order", i)), pay.LetterMismatch).ID))
	}
	waiting := s.letter(order(other, "order-0009"), pay.LetterUnknownOrder)

	var got []string
	for next := "/operator/v1/dead-letters?limit=2"; next != ""; {
		var page operatorapi.LetterPage
		s.get(next).into(t, &page)
		next = ""
		for _, l := range page.Letters {
			got = append(got, l.DeliveryID)
		}
		if page.NextCursor != nil {
			next = "/operator/v1/dead-letters?limit=2&cursor=" + *page.NextCursor
		}
	}
	require.ElementsMatch(t, append(ids, string(waiting.ID)), got)
	var page operatorapi.LetterPage
	s.get("/operator/v1/dead-letters?reason=unknown_order&state=waiting&mchid="+string(other)).into(t, &page)
	require.Len(t, page.Letters, 1)
	require.NotNil(t, page.Letters[0].NextRetryAt)

	var groups operatorapi.LetterGroups
	s.get("/operator/v1/dead-letter-groups").into(t, &groups)
	require.Len(t, groups.Groups, 2)
	s.get("/operator/v1/dead-letter-groups?mchid="+string(shop)).into(t, &groups)
	require.Len(t, groups.Groups, 1)
	require.Equal(t, 3, groups.Groups[0].Count)

	shown := s.get("/operator/v1/dead-letters/" + strings.ToUpper(ids[0]))
	var letter operatorapi.LetterWithBytes
	shown.into(t, &letter)
	arrived := string(letter.BodyBase64)
	require.Equal(t, bytesOfLetter, arrived)
	require.Equal(t, map[string]string{"Wechatpay-Serial": "PUB_KEY_ID_1"}, letter.Headers)
	require.Equal(t, "FEN-3012", s.get("/operator/v1/dead-letters/"+uuid.NewString()).problem(t).Code)
}

func TestDiscard_is_done_once_for_a_reason_that_the_audit_log_keeps(t *testing.T) {
	t.Parallel()
	s := setup(t)
	d := s.letter(order(shop, "order-0001"), pay.LetterMalformed)
	path := "/operator/v1/dead-letters/" + string(d.ID) + "/discard"
	for range 2 {
		var letter operatorapi.Letter
		s.post(path, `{"reason":"a probe of \"ours\", 测试"}`).into(t, &letter)
		require.Equal(t, "discarded", string(letter.State))
	}
	var log operatorapi.AuditPage
	s.get("/operator/v1/audit").into(t, &log)
	var discards []map[string]any
	for _, e := range log.Entries {
		if e.Actor == "token:night-shift" {
			require.Contains(t, *e.Subject, string(d.ID))
			discards = append(discards, *e.Detail)
		}
	}
	require.Len(t, discards, 1, "the repeat changed nothing")
	require.Contains(t, fmt.Sprint(discards[0]), `a probe of "ours", 测试`)
	var first, second operatorapi.AuditPage
	s.get("/operator/v1/audit?limit=1").into(t, &first)
	s.get("/operator/v1/audit?limit=1&cursor="+*first.NextCursor).into(t, &second)
	require.Equal(t, log.Entries[1].AuditID, second.Entries[0].AuditID)

	o := s.place(shop, "order-0002")
	settled := s.letter(o, pay.LetterUnknownOrder)
	_, err := s.sql.ExecContext(t.Context(), "UPDATE dead_letters SET state = 'resolved', resolved_at = now(), next_retry_at = NULL WHERE delivery_id = $1", string(settled.ID))
	require.NoError(t, err)
	answer := s.post("/operator/v1/dead-letters/"+string(settled.ID)+"/discard", `{"reason":"too late"}`)
	require.Equal(t, http.StatusConflict, answer.status)
	require.Equal(t, "FEN-4013", answer.problem(t).Code)
	require.Equal(t, "FEN-3012", s.post("/operator/v1/dead-letters/"+uuid.NewString()+"/discard", `{"reason":"x"}`).problem(t).Code)
}

func TestDiscard_takes_a_reason_and_nothing_else(t *testing.T) {
	t.Parallel()
	s := setup(t)
	path := "/operator/v1/dead-letters/" + uuid.NewString() + "/discard"
	for body, code := range map[string]string{
		"":                            "FEN-3002",
		"null":                        "FEN-3002",
		"[]":                          "FEN-3002",
		`{"reason":"x"`:               "FEN-3002",
		`{"reason":"x"} {}`:           "FEN-3002",
		"{\"reason\":\"\xff\"}":       "FEN-3002",
		`{}`:                          "FEN-3001",
		`{"reason":null}`:             "FEN-3001",
		`{"reason":1}`:                "FEN-3001",
		`{"reason":" \n"}`:            "FEN-3001",
		`{"reason":"a\u0000b"}`:       "FEN-3001",
		`{"reason":"x","force":true}`: "FEN-3001",
		`{"reason":"` + strings.Repeat("测", 501) + `"}`:  "FEN-3001",
		`{"reason":"` + strings.Repeat("a", 9000) + `"}`: "FEN-3006",
		`{"reason":"` + strings.Repeat("测", 500) + `"}`:  "FEN-3012", // it is fine; the letter is not there
	} {
		require.Equal(t, code, s.post(path, body).problem(t).Code, body)
	}
	r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, path, strings.NewReader("reason=x"))
	r.Header.Set("Authorization", "Bearer "+s.operate)
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	require.Equal(t, "FEN-3007", s.send(r).problem(t).Code)
}

func TestQueries_that_are_not_understood_are_refused_by_name(t *testing.T) {
	t.Parallel()
	s := setup(t)
	s.place(shop, "order-0001")
	s.place(shop, "order-0002")
	var page operatorapi.OrderPage
	s.get("/operator/v1/orders?limit=1").into(t, &page)
	forged := func(text string) string { return base64.RawURLEncoding.EncodeToString([]byte(text)) }
	for path, field := range map[string]string{
		"orders?stat=paid":               "stat",
		"orders?state=Paid":              "state",
		"orders?state=":                  "state",
		"orders?state=paid&state=closed": "state",
		"orders?mchid=1":                 "mchid",
		"orders?mchid=190000010%00":      "mchid",
		"orders?limit=0":                 "limit",
		"orders?limit=501":               "limit",
		"orders?limit=ten":               "limit",
		"orders?since=yesterday":         "since",
		"orders?since=2026-03-01":        "since",
		"orders?cursor=x":                "cursor",
		"orders?cursor=" + forged("{}"):  "cursor",
		"orders?cursor=" + forged(`{"of":"orders","at":"2026-03-01T00:00:00Z","mchid":"1900000109","no":"a\u0000bcdef"}`): "cursor",
		"orders?cursor=" + strings.Repeat("a", 600):                                              "cursor",
		"dead-letters?cursor=" + *page.NextCursor:                                                "cursor",
		"dead-letters?cursor=" + forged(`{"of":"letters","at":"2026-03-01T00:00:00Z","id":"x"}`): "cursor",
		"dead-letters?reason=bad":                                                                "reason",
		"dead-letters?delivery_id=x":                                                             "delivery_id",
		"dead-letters?delivery_id=":                                                              "delivery_id",
		"dead-letters?state=open&delivery_id=" + uuid.NewString():                                "state",
		"dead-letters?" + strings.Repeat("delivery_id="+uuid.NewString()+"&", 101):               "delivery_id",
		"dead-letters?state=closed":                                                              "state",
		"dead-letter-groups?limit=1":                                                             "limit",
		"dead-letters/not-a-uuid":                                                                "delivery_id",
		"audit?cursor=" + *page.NextCursor:                                                       "cursor",
		"audit?mchid=1900000109":                                                                 "mchid",
		"status?verbose=1":                                                                       "verbose",
		"stories/" + strings.Repeat("a", 129):                                                    "number",
		"stories/a%20b":                                                                          "number",
		"stories/%00":                                                                            "number",
		"stories/order-0001?mchid=x":                                                             "mchid",
		"stories/order-0001?from=x":                                                              "from",
	} {
		answer := s.get("/operator/v1/" + path)
		require.Equal(t, http.StatusUnprocessableEntity, answer.status, path)
		p := answer.problem(t)
		require.Equal(t, "FEN-3001", p.Code, path)
		require.Len(t, p.Errors, 1, path)
		require.Equal(t, field, p.Errors[0].Field, path)
	}
	two := s.get("/operator/v1/orders?limit=0&state=x").problem(t)
	require.Len(t, two.Errors, 2, "all at once")
	require.Equal(t, "FEN-3002", s.get("/operator/v1/orders?a=%zz").problem(t).Code)
	require.Equal(t, "FEN-3002", s.get("/operator/v1/orders?a="+strings.Repeat("a", 7000)).problem(t).Code)
}

func TestClient_speaks_with_the_API(t *testing.T) {
	t.Parallel()
	s := setup(t)
	s.place(shop, "order-0001")
	d := s.letter(order(shop, "order-0001"), pay.LetterMismatch)
	server := httptest.NewServer(s.handler)
	t.Cleanup(server.Close)
	client, err := operatorapi.NewClientWithResponses(server.URL, operatorapi.WithRequestEditorFn(bearer(s.operate)))
	require.NoError(t, err)
	story, err := client.GetStoryWithResponse(t.Context(), "order-0001", nil)
	require.NoError(t, err)
	require.NotNil(t, story.JSON200)
	limit := 1
	orders, err := client.ListOrdersWithResponse(t.Context(), &operatorapi.ListOrdersParams{Limit: &limit})
	require.NoError(t, err)
	require.Len(t, orders.JSON200.Orders, 1)
	discarded, err := client.DiscardDeadLetterWithResponse(t.Context(), uuid.MustParse(string(d.ID)), operatorapi.DiscardDeadLetterJSONRequestBody{Reason: "a probe"})
	require.NoError(t, err)
	require.Equal(t, "discarded", string(discarded.JSON200.State))
	missing, err := client.GetStoryWithResponse(t.Context(), "order-0002", nil)
	require.NoError(t, err)
	require.Equal(t, "FEN-3011", missing.ApplicationProblemJSONDefault.Code)
}
