package devstack

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"time"
)

// shop is a merchant's back end, as a merchant would write it: it asks over
// HTTP and repeats the same number until it knows the outcome.
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

// newRefund is the body of POST /v1/refunds; one of the first two is given.
type newRefund struct {
	OutTradeNo    string `json:"out_trade_no,omitempty"`
	TransactionID string `json:"transaction_id,omitempty"`
	OutRefundNo   string `json:"out_refund_no"`
	AmountFen     int64  `json:"amount_fen"`
	Reason        string `json:"reason"`
}

// refund is what the shop reads of a refund.
type refund struct {
	OutRefundNo string `json:"out_refund_no"`
	State       string `json:"state"`
	Failure     *struct {
		Code   string `json:"code"`
		Reason string `json:"reason"`
	} `json:"failure"`
}

// refundSucceeded is the state in which the buyer has the money.
const refundSucceeded = "succeeded"

// final says whether the refund has come to an end. An abnormal one has not: a
// person may still drive it on.
func (r refund) final() bool {
	return r.State == refundSucceeded || r.State == "closed" || r.State == "failed"
}

// Pauses between repeats of one command: enough for a restart of a role. A
// refund takes longer, and is asked about more rarely.
const (
	firstRepeat  = 100 * time.Millisecond
	longestPause = 2 * time.Second
	firstLook    = 500 * time.Millisecond
	longestLook  = 5 * time.Second
	maxAnswer    = 1 << 20
)

// place puts one order and returns when it is known to be there.
func (s *shop) place(ctx context.Context, o newOrder) (placed, error) {
	var answer placed
	if err := s.command(ctx, "/v1/orders", o, &answer); err != nil {
		return placed{}, fmt.Errorf("place order %s: %w", o.OutTradeNo, err)
	}
	return answer, nil
}

// giveBack asks for a refund and returns when it is known to be recorded.
func (s *shop) giveBack(ctx context.Context, r newRefund) error {
	var answer refund
	if err := s.command(ctx, "/v1/refunds", r, &answer); err != nil {
		return fmt.Errorf("ask for refund %s: %w", r.OutRefundNo, err)
	}
	return nil
}

// follow looks at a refund, ever more rarely, until it has come to an end.
func (s *shop) follow(ctx context.Context, outRefundNo string) (refund, error) {
	for pause := firstLook; ; pause = min(2*pause, longestLook) {
		var answer refund
		final, err := s.attempt(ctx, http.MethodGet, "/v1/refunds/"+url.PathEscape(outRefundNo), nil, &answer)
		switch {
		case err == nil && answer.final():
			return answer, nil
		case err != nil && final:
			return refund{}, fmt.Errorf("look at refund %s: %w", outRefundNo, err)
		case err == nil:
			err = fmt.Errorf("it is %s", answer.State)
		}
		if ended := rest(ctx, pause); ended != nil {
			return refund{}, fmt.Errorf("look at refund %s: %w (last: %w)", outRefundNo, ended, err)
		}
	}
}

// command posts a body until its outcome is known. What is not final (202, 429,
// 5xx, an expired command among them) is repeated with the same number and the
// same body.
func (s *shop) command(ctx context.Context, path string, body, answer any) error {
	raw, err := json.Marshal(body)
	if err != nil {
		return fmt.Errorf("write body: %w", err)
	}
	for pause := firstRepeat; ; pause = min(2*pause, longestPause) {
		final, err := s.attempt(ctx, http.MethodPost, path, raw, answer)
		if err == nil || final {
			return err
		}
		if ended := rest(ctx, pause); ended != nil {
			return fmt.Errorf("%w (last answer: %w)", ended, err)
		}
	}
}

// rest pauses between two attempts.
func rest(ctx context.Context, pause time.Duration) error {
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-time.After(pause):
		return nil
	}
}

// attempt sends one request. final: there is nothing to gain by repeating it.
func (s *shop) attempt(ctx context.Context, method, path string, body []byte, answer any) (final bool, _ error) {
	req, err := http.NewRequestWithContext(ctx, method, s.api+path, bytes.NewReader(body))
	if err != nil {
		return true, fmt.Errorf("make request: %w", err)
	}
	req.Header.Set("Authorization", "Bearer "+s.key)
	if body != nil {
		req.Header.Set("Content-Type", "application/json")
		req.Header.Set("Prefer", "wait=10")
	}
	resp, err := s.client.Do(req)
	if err != nil {
		return false, fmt.Errorf("send request: %w", err)
	}
	defer func() { _ = resp.Body.Close() }()
	raw, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer))
	if err != nil {
		return false, fmt.Errorf("read answer: %w", err)
	}
	switch status := resp.StatusCode; {
	case status == http.StatusCreated, status == http.StatusOK:
		if err := json.Unmarshal(raw, answer); err != nil {
			return true, fmt.Errorf("parse answer: %w", err)
		}
		return true, nil
	case status == http.StatusAccepted, status == http.StatusTooManyRequests, status >= http.StatusInternalServerError:
		return false, fmt.Errorf("answer %d: %s", status, raw)
	default:
		return true, errors.New("refused with " + resp.Status + ": " + string(raw))
	}
}
