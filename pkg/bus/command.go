package bus

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/fenflow/fenflow/pkg/pay"
)

// A command is one plain message: its JSON body as it is, and what concerns
// its way in headers.
const (
	headerCommandID   = "Fenflow-Command-Id"
	headerOutTradeNo  = "Fenflow-Out-Trade-No"
	headerOutRefundNo = "Fenflow-Out-Refund-No"
	headerDigest      = "Fenflow-Digest"
	headerReceivedAt  = "Fenflow-Received-At"
	headerDeadline    = "Fenflow-Deadline"
	headerReply       = "Fenflow-Reply"
	headerTrace       = "Traceparent"
)

// mayReply says where results of commands may go: the inboxes of the API
// listener and of the console. The worker sends them nowhere else, whatever a
// command says.
func mayReply(inbox string) bool {
	return strings.HasPrefix(inbox, "_INBOX_api.") || strings.HasPrefix(inbox, "_INBOX_console.")
}

// PublishCommand returns nil once the command is stored. A repeat of the same
// command within two minutes is stored once.
func (b *Bus) PublishCommand(ctx context.Context, c pay.Command) error {
	subject, err := commandSubject(c)
	if err != nil {
		return fmt.Errorf("publish command: %w", err)
	}
	msg := nats.NewMsg(subject)
	msg.Data = c.Body
	for name, value := range map[string]string{
		headerCommandID:       string(c.ID),
		jetstream.MsgIDHeader: string(c.ID),
		headerOutTradeNo:      string(c.OutTradeNo),
		headerOutRefundNo:     string(c.OutRefundNo),
		headerDigest:          c.Digest,
		headerReceivedAt:      formatTime(c.ReceivedAt),
		headerDeadline:        formatTime(c.Deadline),
		headerReply:           c.Reply,
		headerTrace:           c.TraceParent,
		headerContentType:     "application/json",
	} {
		if value != "" {
			msg.Header.Set(name, value)
		}
	}
	if err := b.publish(ctx, msg, StreamCommand); err != nil {
		return fmt.Errorf("publish command: %w", err)
	}
	return nil
}

// readCommand is the way back.
func readCommand(subject string, header nats.Header, body []byte) (pay.Command, error) {
	parts := strings.Split(strings.TrimPrefix(subject, subjectCommand), ".")
	if len(parts) != 3 {
		return pay.Command{}, fmt.Errorf("read command: subject %q has not three parts", subject)
	}
	c := pay.Command{
		ID:          pay.CommandID(header.Get(headerCommandID)),
		MchID:       pay.MchID(parts[2]),
		Kind:        pay.CommandKind(parts[0] + "." + parts[1]),
		OutTradeNo:  pay.OutTradeNo(header.Get(headerOutTradeNo)),
		OutRefundNo: pay.OutRefundNo(header.Get(headerOutRefundNo)),
		Digest:      header.Get(headerDigest),
		Body:        body,
		Reply:       header.Get(headerReply),
		TraceParent: header.Get(headerTrace),
	}
	var err error
	if c.ReceivedAt, err = parseTime(header.Get(headerReceivedAt)); err != nil {
		return pay.Command{}, fmt.Errorf("read command: %s: %w", headerReceivedAt, err)
	}
	if c.Deadline, err = parseTime(header.Get(headerDeadline)); err != nil {
		return pay.Command{}, fmt.Errorf("read command: %s: %w", headerDeadline, err)
	}
	if c.ID == "" {
		return pay.Command{}, fmt.Errorf("read command: %s is missing", headerCommandID)
	}
	return c, nil
}

func formatTime(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.UTC().Format(time.RFC3339Nano)
}

func parseTime(s string) (time.Time, error) {
	if s == "" {
		return time.Time{}, nil
	}
	t, err := time.Parse(time.RFC3339Nano, s)
	return t.UTC(), err
}

// replies hands results of commands to those who wait, from one subscription.
type replies struct {
	prefix string

	mu      sync.Mutex
	waiting map[string]chan pay.CommandResult
}

// replyInbox subscribes on first use.
func (b *Bus) replyInbox() (*replies, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.replies != nil {
		return b.replies, nil
	}
	r := &replies{prefix: "_INBOX_" + b.config.Role + ".reply." + rand.Text() + ".", waiting: map[string]chan pay.CommandResult{}}
	if _, err := b.conn.Subscribe(r.prefix+"*", r.receive); err != nil {
		return nil, fmt.Errorf("subscribe to replies: %w", classify(err))
	}
	// The broker must know of it before a worker can answer.
	if err := b.conn.FlushTimeout(b.config.PublishTimeout); err != nil {
		return nil, fmt.Errorf("subscribe to replies: %w", classify(err))
	}
	b.replies = r
	return r, nil
}

func (r *replies) receive(msg *nats.Msg) {
	id := strings.TrimPrefix(msg.Subject, r.prefix)
	result, err := readResult(msg.Data)
	r.mu.Lock()
	defer r.mu.Unlock()
	if c := r.waiting[id]; c != nil && err == nil {
		delete(r.waiting, id)
		c <- result
	}
}

func (r *replies) expect() (id string, answer <-chan pay.CommandResult, forget func()) {
	id = rand.Text()
	c := make(chan pay.CommandResult, 1) // one reply, which must not block the subscription
	r.mu.Lock()
	defer r.mu.Unlock()
	r.waiting[id] = c
	return id, c, func() {
		r.mu.Lock()
		defer r.mu.Unlock()
		delete(r.waiting, id)
	}
}

// SubmitCommand stores a command and waits for its result up to wait. Without
// an error the command is stored; replied says whether the result came.
func (b *Bus) SubmitCommand(ctx context.Context, c pay.Command, wait time.Duration) (result pay.CommandResult, replied bool, err error) {
	inbox, err := b.replyInbox()
	if err != nil {
		return pay.CommandResult{}, false, err
	}
	id, answer, forget := inbox.expect()
	defer forget()
	c.Reply = inbox.prefix + id
	if err := b.PublishCommand(ctx, c); err != nil {
		return pay.CommandResult{}, false, err
	}
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case result := <-answer:
		return result, true, nil
	case <-timer.C:
	case <-ctx.Done():
	}
	return pay.CommandResult{}, false, nil
}

// resultWire is a result as it travels.
type resultWire struct {
	ID          string          `json:"command_id"`
	MchID       string          `json:"mchid"`
	Kind        string          `json:"kind"`
	OutTradeNo  string          `json:"out_trade_no"`
	OutRefundNo string          `json:"out_refund_no,omitempty"`
	Digest      string          `json:"digest"`
	Outcome     string          `json:"outcome"`
	Status      int             `json:"status"`
	Body        json.RawMessage `json:"body,omitempty"`
	ReceivedAt  time.Time       `json:"received_at"`
	FinishedAt  time.Time       `json:"finished_at"`
}

func writeResult(r pay.CommandResult) ([]byte, error) {
	data, err := json.Marshal(resultWire{
		ID: string(r.ID), MchID: string(r.MchID), Kind: string(r.Kind), OutTradeNo: string(r.OutTradeNo), OutRefundNo: string(r.OutRefundNo),
		Digest: r.Digest, Outcome: string(r.Outcome), Status: r.Status, Body: r.Body,
		ReceivedAt: r.ReceivedAt, FinishedAt: r.FinishedAt,
	})
	if err != nil {
		return nil, fmt.Errorf("write command result: %w", err)
	}
	return data, nil
}

func readResult(data []byte) (pay.CommandResult, error) {
	var w resultWire
	if err := json.Unmarshal(data, &w); err != nil {
		return pay.CommandResult{}, fmt.Errorf("read command result: %w", err)
	}
	return pay.CommandResult{
		ID: pay.CommandID(w.ID), MchID: pay.MchID(w.MchID), Kind: pay.CommandKind(w.Kind),
		OutTradeNo: pay.OutTradeNo(w.OutTradeNo), OutRefundNo: pay.OutRefundNo(w.OutRefundNo),
		Digest: w.Digest, Outcome: pay.CommandOutcome(w.Outcome),
		Status: w.Status, Body: w.Body, ReceivedAt: w.ReceivedAt, FinishedAt: w.FinishedAt,
	}, nil
}
