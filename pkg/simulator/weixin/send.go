package weixin

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"
)

// How a message is delivered: five seconds for an answer, three more attempts
// (WeChat's document on receiving messages).
const (
	answerTime   = 5 * time.Second
	betweenSends = 5 * time.Second
	sends        = 4
)

// Delivery is a message and what became of it.
type Delivery struct {
	Attempts []Attempt `json:"attempts"`
	Reply    *Reply    `json:"reply,omitempty"`
	// Problem is what WeChat would tell the person: the service is out of order.
	Problem    string `json:"problem,omitempty"`
	MsgID      int64  `json:"msg_id,omitempty"`
	CreateTime int64  `json:"create_time"`
	Openid     string `json:"openid"`
}

// Attempt is one request.
type Attempt struct {
	Status   int     `json:"status,omitempty"`
	Body     string  `json:"body,omitempty"`
	Error    string  `json:"error,omitempty"`
	AnswerMs float64 `json:"answer_ms"`
}

// Send delivers a message as WeChat does and says what was answered.
func (p *Platform) Send(ctx context.Context, m Message) (Delivery, error) {
	if err := m.setDefaults(p); err != nil {
		return Delivery{}, err
	}
	app, err := m.check(p)
	if err != nil {
		return Delivery{}, fmt.Errorf("check message: %w", err)
	}
	ready, err := p.wrap(app, m)
	if err != nil {
		return Delivery{}, fmt.Errorf("write message: %w", err)
	}
	p.noteFollowing(app, m)
	d := Delivery{MsgID: m.MsgID, CreateTime: m.CreateTime, Openid: OpenidOf(app.Appid, m.User)}
	for n := range sends {
		if n > 0 {
			if err := p.pause(ctx); err != nil {
				return d, err
			}
		}
		attempt := p.attempt(ctx, ready)
		d.Attempts = append(d.Attempts, attempt)
		if attempt.Error == "" && attempt.Status == http.StatusOK {
			d.judge(app, m, ready, attempt)
			return d, nil
		}
		if m.VerifyURL {
			break // the console asks once
		}
	}
	d.Problem = "该公众号提供的服务出现故障: no attempt was answered with 200 within five seconds"
	return d, nil
}

func (d *Delivery) judge(app App, m Message, sent parcel, a Attempt) {
	if m.VerifyURL {
		if a.Body != sent.echo {
			d.Problem = fmt.Sprintf("the answer must be the echostr %s and nothing else", sent.echo)
			return
		}
		d.Reply = &Reply{Kind: "echo", Content: a.Body}
		return
	}
	reply, err := readReply(app, m, []byte(a.Body))
	d.Reply = &reply
	if err != nil {
		d.Problem = "该公众号提供的服务出现故障: " + err.Error()
	}
}

// noteFollowing: who sends subscribe follows from then on.
func (p *Platform) noteFollowing(app App, m Message) {
	if m.Type == "event" && m.Wrong == "" && (m.Event == "subscribe" || m.Event == "unsubscribe") {
		p.follow(m.User, app.Appid, m.Event == "subscribe")
	}
}

func (p *Platform) pause(ctx context.Context) error {
	timer := time.NewTimer(time.Duration(float64(betweenSends) / p.speed))
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("wait for the next attempt: %w", ctx.Err())
	}
}

func (p *Platform) attempt(ctx context.Context, ready parcel) Attempt {
	ctx, cancel := context.WithTimeout(ctx, answerTime)
	defer cancel()
	started := time.Now()
	request, err := http.NewRequestWithContext(ctx, ready.method, ready.address, bytes.NewReader(ready.body))
	if err != nil {
		return Attempt{Error: err.Error()}
	}
	request.Header.Set("User-Agent", "Mozilla/4.0")
	if ready.mediaType != "" {
		request.Header.Set("Content-Type", ready.mediaType)
	}
	response, err := p.client.Do(request)
	if err != nil {
		return Attempt{Error: err.Error(), AnswerMs: since(started)}
	}
	body, err := io.ReadAll(io.LimitReader(response.Body, maxBody))
	a := Attempt{Status: response.StatusCode, Body: string(body)}
	if err = errors.Join(err, response.Body.Close()); err != nil {
		a.Error = err.Error()
	}
	a.AnswerMs = since(started)
	return a
}

func since(started time.Time) float64 { return float64(time.Since(started).Microseconds()) / 1000 }

func (p *Platform) controlMessage(w http.ResponseWriter, r *http.Request) {
	var m Message
	if !decode(w, r, &m) {
		return
	}
	delivery, err := p.Send(r.Context(), m)
	if err != nil {
		writeProblem(w, http.StatusBadRequest, err)
		return
	}
	writeJSON(w, http.StatusOK, delivery)
}

// messagePage is the small page to send from.
type messagePage struct {
	People   []Person
	Apps     []App
	Message  Message
	Delivery *Delivery
	Problem  string
}

func (p *Platform) pageMessages(w http.ResponseWriter, r *http.Request) {
	to, appid := r.FormValue("to_url"), p.firstOf(KindOfficialAccount).Appid
	if to == "" {
		to = p.messageURL(appid)
	}
	p.showMessages(w, messagePage{Message: Message{Appid: appid, ToURL: to, Mode: "aes", Content: "你好"}})
}

// pageSend sends what the form says: a text, or an event.
func (p *Platform) pageSend(w http.ResponseWriter, r *http.Request) {
	m := Message{Appid: r.FormValue("appid"), ToURL: r.FormValue("to_url"), Mode: r.FormValue("mode"), User: r.FormValue("user"),
		Type: "text", Content: r.FormValue("content")}
	if event := r.FormValue("event"); event != "" {
		m.Type, m.Event, m.Content = "event", event, ""
	}
	delivery, err := p.Send(r.Context(), m)
	page := messagePage{Message: m, Delivery: &delivery}
	if err != nil {
		page.Delivery, page.Problem = nil, err.Error()
	}
	p.showMessages(w, page)
}

func (p *Platform) showMessages(w http.ResponseWriter, page messagePage) {
	page.People = p.everyone()
	for _, app := range p.apps {
		if app.receivesMessages() {
			page.Apps = append(page.Apps, app)
		}
	}
	p.render(w, http.StatusOK, "messages.html", view{Title: "Messages", Page: page})
}
