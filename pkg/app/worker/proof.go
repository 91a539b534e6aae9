package worker

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/fenflow/fenflow/pkg/app/boot"
	"github.com/fenflow/fenflow/pkg/bus"
)

const (
	// proveEvery: settings of a running server change without a reconnect.
	proveEvery = 30 * time.Second
	// proveAgain after a bad verdict, or one that could not be written.
	proveAgain = 2 * time.Second
)

// proof keeps the verdict on durability up to date, for the edge and for us.
type proof struct {
	parts    parts
	env      boot.Env
	again    chan struct{} // one pending wish is enough
	proven   chan struct{} // closed with the first good verdict
	first    sync.Once
	mu       sync.Mutex
	verdict  bus.Verdict
	reported string
	said     []string // PostgreSQL's problems as of the last answer
	asked    bool     // there was an answer
}

func newProof(p parts, env boot.Env) *proof {
	one := &proof{parts: p, env: env, again: make(chan struct{}, 1), proven: make(chan struct{})}
	p.bus.OnReconnect(func() {
		select {
		case one.again <- struct{}{}:
		default:
		}
	})
	return one
}

// keep proves at the start, after each return of the broker, and from time to time.
func (p *proof) keep(ctx context.Context) error {
	for {
		pause := proveEvery
		if err := p.prove(ctx); err != nil {
			pause = proveAgain
		}
		timer := time.NewTimer(pause)
		select {
		case <-timer.C:
		case <-p.again:
		case <-ctx.Done():
			timer.Stop()
			return nil
		}
		timer.Stop()
	}
}

// prove joins what is wrong with the broker and with the database into one
// verdict and writes it where the edge looks.
func (p *proof) prove(ctx context.Context) error {
	// A broker that came back empty has no streams yet.
	streams := p.parts.bus.EnsureStreams(ctx)
	v := p.parts.bus.Prove(ctx, p.env.Config.NATS.MonitorURLs)
	problems, err := p.database(ctx)
	if err != nil {
		return fmt.Errorf("prove PostgreSQL, the verdict of before stands: %w", err)
	}
	for _, text := range problems {
		v.Problems = append(v.Problems, "PostgreSQL: "+strings.TrimPrefix(text, "PostgreSQL: "))
	}
	v.OK = v.OK && len(problems) == 0
	written := p.parts.bus.PutVerdict(ctx, v)
	p.report(ctx, v, errors.Join(streams, written))
	switch {
	case written != nil:
		return fmt.Errorf("write verdict: %w", written)
	case !v.OK:
		return errors.New("durability is not proven")
	}
	p.first.Do(func() { close(p.proven) })
	return nil
}

// database asks PostgreSQL for its settings. While it is away, what it said
// last holds: settlement waits for it, but the edge goes on acknowledging, and
// what it acknowledges is on the broker's disk.
func (p *proof) database(ctx context.Context) ([]string, error) {
	problems, err := p.parts.plain.Durability(ctx)
	p.mu.Lock()
	defer p.mu.Unlock()
	switch {
	case err == nil:
		p.said, p.asked = problems, true
	case !p.asked:
		return nil, err
	}
	return slices.Clone(p.said), nil
}

// report tells of a verdict when it differs from the one before.
func (p *proof) report(ctx context.Context, v bus.Verdict, failed error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.verdict = v
	text := strings.Join(v.Problems, "; ")
	if failed != nil {
		text += "; verdict not written: " + failed.Error()
	}
	if text == p.reported && !v.CheckedAt.IsZero() && (text != "" || isClosed(p.proven)) {
		return
	}
	p.reported = text
	if text != "" {
		p.env.Logger.ErrorContext(ctx, "durability is not proven; the edge takes no traffic", "problems", text)
		return
	}
	p.env.Logger.InfoContext(ctx, "durability is proven: what is acknowledged is on disk")
}

func isClosed(c <-chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}

// check is the health check.
func (p *proof) check(context.Context) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	switch {
	case p.verdict.CheckedAt.IsZero():
		return errors.New("not proven yet")
	case !p.verdict.OK:
		return errors.New(strings.Join(p.verdict.Problems, "; "))
	}
	return nil
}
