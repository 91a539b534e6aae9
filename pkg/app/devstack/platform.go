package devstack

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"time"

	"github.com/fenflow/fenflow/pkg/simulator"
)

// platform talks to the stand-in's /control: it plays the buyer and reads
// what really happened.
type platform struct {
	base   string
	client *http.Client
}

// pay pays an order in full. A repeat after an answer that got lost finds the
// order paid already, which is as good.
func (p *platform) pay(ctx context.Context, outTradeNo string, duplicates, forged int) error {
	body, err := json.Marshal(map[string]int{"duplicates": duplicates, "forged": forged})
	if err != nil {
		return fmt.Errorf("write payment: %w", err)
	}
	var last error
	for range 20 {
		status, answer, err := p.call(ctx, http.MethodPost, "/control/orders/"+outTradeNo+"/pay", body)
		switch {
		case err == nil && (status == http.StatusOK || status == http.StatusConflict):
			return nil
		case err == nil && status < http.StatusInternalServerError:
			return fmt.Errorf("pay order %s: answer %d: %s", outTradeNo, status, answer)
		case err == nil:
			err = fmt.Errorf("answer %d: %s", status, answer)
		}
		last = err
		select {
		case <-ctx.Done():
			return fmt.Errorf("pay order %s: %w (last: %w)", outTradeNo, ctx.Err(), last)
		case <-time.After(200 * time.Millisecond):
		}
	}
	return fmt.Errorf("pay order %s: %w", outTradeNo, last)
}

func (p *platform) ledger(ctx context.Context) (simulator.Ledger, error) {
	return read[simulator.Ledger](ctx, p, "/control/ledger")
}

func (p *platform) deliveries(ctx context.Context) (simulator.Summary, error) {
	return read[simulator.Summary](ctx, p, "/control/deliveries?summary=1")
}

// calls is how often each operation of the platform was asked for.
func (p *platform) calls(ctx context.Context) (map[string]int, error) {
	document, err := read[struct{ Calls map[string]int }](ctx, p, "/control/calls")
	return document.Calls, err
}

func read[T any](ctx context.Context, p *platform, path string) (T, error) {
	var into T
	status, raw, err := p.call(ctx, http.MethodGet, path, nil)
	if err != nil {
		return into, err
	}
	if status != http.StatusOK {
		return into, fmt.Errorf("read %s: answer %d", path, status)
	}
	if err := json.Unmarshal(raw, &into); err != nil {
		return into, fmt.Errorf("parse %s: %w", path, err)
	}
	return into, nil
}

func (p *platform) call(ctx context.Context, method, path string, body []byte) (int, []byte, error) {
	req, err := http.NewRequestWithContext(ctx, method, p.base+path, bytes.NewReader(body))
	if err != nil {
		return 0, nil, fmt.Errorf("make request: %w", err)
	}
	resp, err := p.client.Do(req)
	if err != nil {
		return 0, nil, fmt.Errorf("call the platform: %w", err)
	}
	defer func() { _ = resp.Body.Close() }()
	raw, err := io.ReadAll(resp.Body)
	if err != nil {
		return 0, nil, fmt.Errorf("read the platform's answer: %w", err)
	}
	return resp.StatusCode, raw, nil
}
