package devstack

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"time"
)

// shop is a merchant's back end, as a merchant would write it: it places
// orders over HTTP and repeats the same number until it knows the outcome.
type shop struct {
	api    string // base URL of the business API
	key    string
	client *http.Client
}

// newOrder is the body of POST /v1/orders.
type newOrder struct {
	OutTradeNo  string `json:"out_trade_no"`
	AppID       string `json:"appid"`
	Client      string `json:"client"`
	Description string `json:"description"`
	AmountFen   int64  `json:"amount_fen"`
	Currency    string `json:"currency"`
	OpenID      string `json:"openid,omitempty"`
}

// placed is what the shop reads of the answer.
type placed struct {
	OutTradeNo string          `json:"out_trade_no"`
	State      string          `json:"state"`
	Pay        json.RawMessage `json:"pay"`
}

// Pauses between repeats of one command: enough for a restart of a role.
const (
	firstRepeat  = 100 * time.Millisecond
	longestPause = 2 * time.Second
	maxAnswer    = 1 << 20
)

// place puts one order and returns when it is known to be there. What is not
// final (202, 429, 5xx) is repeated with the same number and the same body.
func (s *shop) place(ctx context.Context, o newOrder) (placed, error) {
	body, err := json.Marshal(o)
	if err != nil {
		return placed{}, fmt.Errorf("write order %s: %w", o.OutTradeNo, err)
	}
	var last error
	for pause := firstRepeat; ; pause = min(2*pause, longestPause) {
		answer, final, err := s.attempt(ctx, body)
		if err == nil || final {
			return answer, err
		}
		last = err
		select {
		case <-ctx.Done():
			return placed{}, fmt.Errorf("place order %s: %w (last answer: %w)", o.OutTradeNo, ctx.Err(), last)
		case <-time.After(pause):
		}
	}
}

func (s *shop) attempt(ctx context.Context, body []byte) (_ placed, final bool, _ error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, s.api+"/v1/orders", bytes.NewReader(body))
	if err != nil {
		return placed{}, true, fmt.Errorf("make request: %w", err)
	}
	req.Header.Set("Authorization", "Bearer "+s.key)
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Prefer", "wait=10")
	resp, err := s.client.Do(req)
	if err != nil {
		return placed{}, false, fmt.Errorf("send order: %w", err)
	}
	defer func() { _ = resp.Body.Close() }()
	raw, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer))
	if err != nil {
		return placed{}, false, fmt.Errorf("read answer: %w", err)
	}
	switch {
	case resp.StatusCode == http.StatusCreated, resp.StatusCode == http.StatusOK:
		var answer placed
		if err := json.Unmarshal(raw, &answer); err != nil {
			return placed{}, true, fmt.Errorf("parse answer: %w", err)
		}
		return answer, true, nil
	case resp.StatusCode == http.StatusAccepted, resp.StatusCode == http.StatusTooManyRequests, resp.StatusCode >= http.StatusInternalServerError:
		return placed{}, false, fmt.Errorf("answer %d: %s", resp.StatusCode, raw)
	default:
		return placed{}, true, fmt.Errorf("refused with %d: %s", resp.StatusCode, raw)
	}
}
