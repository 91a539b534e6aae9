package simulator

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"sync"
	"time"
)

// maxAnswerBytes is more than any acknowledgement needs.
const maxAnswerBytes = 64 << 10

// retrySchedule is WeChat Pay's: fifteen repeats over 24 h 4 min (doc 4012791861).
func retrySchedule() []time.Duration {
	const s, m, h = time.Second, time.Minute, time.Hour
	return []time.Duration{15 * s, 15 * s, 30 * s, 3 * m, 10 * m, 20 * m, 30 * m, 30 * m, 30 * m, 60 * m, 3 * h, 3 * h, 3 * h, 6 * h, 6 * h}
}

// postOffice delivers notices: one goroutine each, which mostly waits, and a
// limited number of them sending at a time.
type postOffice struct {
	books    *books
	signers  *signers
	client   *http.Client
	schedule []time.Duration
	slots    chan struct{}
	now      func() time.Time
	log      *slog.Logger
	faults   *faults
	queue    *queue

	ctx     context.Context //nolint:containedctx // the life of the office, ended by close
	cancel  context.CancelFunc
	mu      sync.Mutex
	closed  bool
	running sync.WaitGroup
}

func newPostOffice(o Options, b *books, s *signers) *postOffice {
	p := &postOffice{books: b, signers: s, client: noticeClient(o), queue: newQueue(), now: o.Now, log: o.Logger,
		slots: make(chan struct{}, o.Senders)} // one place for each sender
	for _, wait := range retrySchedule() {
		p.schedule = append(p.schedule, time.Duration(float64(wait)/o.Speed))
	}
	p.ctx, p.cancel = context.WithCancel(context.Background())
	return p
}

// noticeClient follows no redirect: the address is where the answer must come from.
func noticeClient(o Options) *http.Client {
	client := http.Client{Transport: &http.Transport{
		MaxIdleConnsPerHost: o.Senders, IdleConnTimeout: time.Minute, DisableKeepAlives: o.NewConnections,
	}}
	if o.HTTPClient != nil {
		client = *o.HTTPClient
	}
	client.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	return &client
}

// resume takes up what an earlier process left pending.
func (p *postOffice) resume() {
	for _, n := range p.books.pending() {
		p.start(n)
	}
}

func (p *postOffice) dispatch(notices []Notice) {
	for _, n := range notices {
		p.start(noticeState{Notice: n})
	}
}

// start refuses once the office is closed; the journal keeps the notice.
func (p *postOffice) start(n noticeState) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.closed {
		n.number = p.queue.number()
		p.running.Go(func() { p.deliver(n) })
	}
}

func (p *postOffice) close() {
	p.mu.Lock()
	p.closed = true
	p.mu.Unlock()
	p.cancel()
	p.running.Wait()
	p.client.CloseIdleConnections()
}

// deliver sends until acknowledged or out of retries, then repeats as asked. A
// forgery is sent once, whatever the answer.
func (p *postOffice) deliver(n noticeState) {
	if p.loses(n) || !p.hold(n) {
		return
	}
	for !n.acknowledged {
		if n.tries > 0 && !p.wait(p.schedule[n.tries-1]) {
			return
		}
		acknowledged, sent := p.attempt(n.Notice, n.Kind)
		p.queue.note(n)
		if !sent || n.Kind == Forged {
			return
		}
		n.acknowledged = acknowledged
		n.tries++
		if !acknowledged && n.tries > len(p.schedule) {
			p.abandon(n.Notice)
			return
		}
	}
	for ; n.repeats < n.Duplicates; n.repeats++ {
		if _, sent := p.attempt(n.Notice, Duplicate); !sent {
			return
		}
	}
}

func (p *postOffice) wait(d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-p.ctx.Done():
		return false
	}
}

func (p *postOffice) abandon(n Notice) {
	p.log.Warn("notification given up", "out_trade_no", n.OutTradeNo, "notice", n.ID)
	if err := p.books.abandon(n.ID); err != nil {
		p.log.Error("record of the abandoned notification failed", "notice", n.ID, "error", err)
	}
}

// attempt sends once and enters the result. sent is false if the simulator is
// closing: such an attempt never happened.
func (p *postOffice) attempt(n Notice, kind NoticeKind) (acknowledged, sent bool) {
	select {
	case p.slots <- struct{}{}:
		defer func() { <-p.slots }()
	case <-p.ctx.Done():
		return false, false
	}
	a := n.attempt(kind)
	err := p.mishap(&n, &a)
	if err == nil {
		err = p.send(n, &a)
	}
	if err != nil {
		if p.ctx.Err() != nil {
			return false, false
		}
		a.Error = err.Error()
	}
	p.enter(a)
	return a.Acknowledged, true
}

// enter puts an attempt on record.
func (p *postOffice) enter(a Attempt) {
	if err := p.books.attempted(a); err != nil {
		p.log.Error("record of a delivery failed", "notice", a.NoticeID, "error", err)
	}
	p.log.Log(p.ctx, a.level(), "notification sent", "out_trade_no", a.OutTradeNo, "kind", a.Kind, "forgery", a.Forgery, "fault", a.Fault,
		"status", a.Status, "acknowledged", a.Acknowledged, "answer_ms", a.AnswerMs, "error", a.Error)
}

func (p *postOffice) send(n Notice, a *Attempt) error {
	ctx, cancel := context.WithTimeout(p.ctx, attemptTimeout)
	defer cancel()
	header, body, err := p.signers.seal(n)
	if err != nil {
		return fmt.Errorf("seal notice: %w", err)
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, n.URL, bytes.NewReader(body))
	if err != nil {
		return fmt.Errorf("make request: %w", err)
	}
	request.Header = header
	a.sent(n, header, body)
	a.Serial, a.SentAt = header.Get("Wechatpay-Serial"), p.now().UTC()
	answer, err := p.exchange(request, a)
	a.AnswerMs = float64(p.now().Sub(a.SentAt)) / float64(time.Millisecond)
	if err != nil {
		return err
	}
	a.Acknowledged = acknowledged(n.Protocol, a.Status, answer)
	return nil
}

func (p *postOffice) exchange(request *http.Request, a *Attempt) ([]byte, error) {
	response, err := p.client.Do(request)
	if err != nil {
		return nil, fmt.Errorf("post notice: %w", err)
	}
	defer func() { _ = response.Body.Close() }() // the read side: nothing can be lost
	answer, err := io.ReadAll(io.LimitReader(response.Body, maxAnswerBytes))
	if err != nil {
		return nil, fmt.Errorf("read answer: %w", err)
	}
	a.Status = response.StatusCode
	a.answered(answer)
	return answer, nil
}

// acknowledged: v3 goes by the status, 200 or 204; v2 by the XML of a 200.
func acknowledged(p Protocol, status int, answer []byte) bool {
	if p == ProtocolV2 {
		return status == http.StatusOK && acknowledgedV2(answer)
	}
	return status == http.StatusOK || status == http.StatusNoContent
}
