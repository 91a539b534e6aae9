package bus

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
)

const (
	queueGroup = "fenflow"
	// maxServing bounds the requests answered at the same time per subject;
	// the rest waits in the subscription, and its callers give up on their own.
	maxServing  = 64
	headerError = "Fenflow-Error"
)

// ErrRemote is a request that reached the other side and failed there.
var ErrRemote = errors.New("the other side failed")

// Serve answers requests on a subject, shared with all others that serve it,
// until ctx ends; what is being answered then is finished. An error of handle
// reaches the caller as ErrRemote with the error's text.
func (b *Bus) Serve(ctx context.Context, subject string, handle func(context.Context, []byte) ([]byte, error)) error {
	room := make(chan struct{}, maxServing)
	var wg sync.WaitGroup
	sub, err := b.conn.QueueSubscribe(subject, queueGroup, func(msg *nats.Msg) {
		if !isInbox(msg.Reply) {
			return
		}
		select {
		case room <- struct{}{}:
		case <-ctx.Done():
			return
		}
		wg.Go(func() {
			defer func() { <-room }()
			b.respond(ctx, msg, handle)
		})
	})
	if err != nil {
		return fmt.Errorf("serve %s: %w", subject, classify(err))
	}
	<-ctx.Done()
	_ = sub.Unsubscribe() // fails only when the connection is closed
	wg.Wait()
	return context.Cause(ctx)
}

// isInbox refuses replies to anything but an inbox, or the place that the
// broker makes up for one of another account: a caller must not choose where
// we publish.
func isInbox(reply string) bool {
	return strings.HasPrefix(reply, "_INBOX_") || strings.HasPrefix(reply, "_R_.")
}

func (b *Bus) respond(ctx context.Context, msg *nats.Msg, handle func(context.Context, []byte) ([]byte, error)) {
	answer := &nats.Msg{Header: nats.Header{}}
	data, err := safely(ctx, msg.Data, handle)
	answer.Data = data
	if err != nil {
		b.log.Warn("request failed", "subject", msg.Subject, "error", err)
		answer.Header.Set(headerError, err.Error())
	}
	if err := msg.RespondMsg(answer); err != nil {
		b.log.Warn("no answer to a request", "subject", msg.Subject, "error", err)
	}
}

// safely keeps a hostile request from ending the process. The panic's value
// may hold bytes of the request, so it is not passed on.
func safely(ctx context.Context, data []byte, handle func(context.Context, []byte) ([]byte, error)) (answer []byte, err error) {
	defer func() {
		if recover() != nil {
			answer, err = nil, errors.New("panic while answering")
		}
	}()
	return handle(context.WithoutCancel(ctx), data)
}

// Request asks whoever serves subject. ErrUnavailable: nobody serves it.
func (b *Bus) Request(ctx context.Context, subject string, data []byte, timeout time.Duration) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	msg, err := b.conn.RequestWithContext(ctx, subject, data)
	if err != nil {
		return nil, fmt.Errorf("request %s: %w", subject, classify(err))
	}
	if failure := msg.Header.Get(headerError); failure != "" {
		return nil, fmt.Errorf("request %s: %w: %s", subject, ErrRemote, failure)
	}
	return msg.Data, nil
}
