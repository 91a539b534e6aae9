package message

import (
	"context"
	"encoding/json"
	"log/slog"
	"net/http"
	"time"

	"github.com/fenflow/fenflow/pkg/merchant"
	"github.com/fenflow/fenflow/pkg/pay"
	"github.com/fenflow/fenflow/pkg/problem"
	"github.com/fenflow/fenflow/pkg/wechat"
)

// question is a push as the edge got it.
type question struct {
	AppID       pay.AppID `json:"appid"`
	Method      string    `json:"method"`
	Query       string    `json:"query"` // raw
	ContentType string    `json:"content_type"`
	Body        []byte    `json:"body"`
}

// reply is what WeChat is answered.
type reply struct {
	ContentType string `json:"content_type"`
	Body        string `json:"body"`
}

// outcome says how a push ended, for the log and the metrics.
type outcome string

const (
	outcomeVerified  outcome = "url_verified"
	outcomePublished outcome = "published"
	outcomeRepeated  outcome = "repeated" // published before
	outcomeRefused   outcome = "refused"  // not WeChat's, or not to be read
	outcomeFailed    outcome = "failed"   // WeChat repeats it
)

// push is one question with what is known of its app.
type push struct {
	question

	mchid   pay.MchID
	secrets merchant.AppSecrets
	query   wechat.PushQuery
}

func (p push) keys() wechat.PushKeys {
	return wechat.PushKeys{AppID: p.AppID, Token: p.secrets.MessageToken, AESKeys: p.secrets.MessageAESKeys}
}

// answerWithin is less than the edge waits (4.5 s), which is less than WeChat does
// (5 s): what comes later reaches nobody.
const answerWithin = 4 * time.Second

// Answer answers the edge: with what WeChat is to be told, or why not.
func (s *Service) Answer(ctx context.Context, raw []byte) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, answerWithin)
	defer cancel()
	begun := s.Now()
	line := []slog.Attr{}
	var r reply
	var ended outcome
	p, err := s.read(raw)
	if err == nil {
		r, ended, err = s.take(ctx, p, &line)
	}
	if err != nil {
		ended = outcomeRefused
		if problem.EntryOf(err).Status >= http.StatusInternalServerError {
			ended = outcomeFailed
		}
		line = append(line, slog.Any("error", err))
	}
	s.answers.WithLabelValues(string(ended)).Inc()
	line = append(line, slog.String("appid", string(p.AppID)), slog.String("outcome", string(ended)), slog.Duration("took", s.Now().Sub(begun)))
	s.Log.LogAttrs(ctx, levelOf(ended), "server message", line...)
	if err != nil {
		return problem.WriteRefusal(err) //nolint:wrapcheck // it says what failed
	}
	return problem.WriteAnswer(http.StatusOK, r) //nolint:wrapcheck // it says what failed
}

func levelOf(ended outcome) slog.Level {
	if ended == outcomeFailed {
		return slog.LevelWarn
	}
	return slog.LevelInfo
}

// read finds out whose push it is.
func (s *Service) read(raw []byte) (push, error) {
	var p push
	if err := json.Unmarshal(raw, &p.question); err != nil {
		return push{}, problem.Wrap(problem.Malformed, err, "the question cannot be read; compare the versions of edge and worker")
	}
	var known bool
	if p.mchid, _, p.secrets, known = s.Apps.AppSecrets(p.AppID); !known || p.secrets.MessageToken == "" {
		return push{}, problem.New(problem.NoMessages, "")
	}
	var err error
	if p.query, err = wechat.ParsePushQuery(p.Query); err != nil {
		return p, refused(err)
	}
	return p, nil
}

// take is the life of a push: proven, opened, published, remembered, answered.
func (s *Service) take(ctx context.Context, p push, line *[]slog.Attr) (reply, outcome, error) {
	switch p.Method {
	case http.MethodGet:
		return s.verifyURL(p)
	case http.MethodPost:
	default:
		return reply{}, "", problem.New(problem.MethodNotAllowed, "use GET or POST")
	}
	opened, err := s.open(p)
	if err != nil {
		return reply{}, "", err
	}
	m := opened.Message
	*line = append(*line, slog.String("msg_type", m.MsgType), slog.String("event", m.Event), slog.Int("key", opened.Key))
	ended, err := s.publishOnce(ctx, p, m)
	if err != nil {
		return reply{}, "", err
	}
	r, err := s.replyTo(p, opened)
	if err != nil { // it is published, so that a repeat would change nothing
		*line = append(*line, slog.String("no_reply", err.Error()))
		r = success()
	}
	return r, ended, nil
}

// verifyURL answers WeChat's console, which proves that it has the token and wants
// to see that we have it.
func (s *Service) verifyURL(p push) (reply, outcome, error) {
	if err := wechat.VerifyURL(p.secrets.MessageToken, p.query.Timestamp, p.query.Nonce, p.query.Signature); err != nil {
		return reply{}, "", refused(err)
	}
	if err := p.query.CheckFresh(s.Now()); err != nil {
		return reply{}, "", refused(err)
	}
	return reply{ContentType: plainText, Body: p.query.EchoStr}, outcomeVerified, nil
}

// open proves a push and reads it. The proof comes first: nothing is said of the
// age of what anybody could have written.
func (s *Service) open(p push) (wechat.Opened, error) {
	if len(p.secrets.MessageAESKeys) > 0 && !p.query.Encrypted {
		return wechat.Opened{}, problem.New(problem.MessageInPlain, "")
	}
	opened, err := wechat.OpenMessage(p.keys(), p.query, p.Body)
	if err != nil {
		return wechat.Opened{}, refused(err)
	}
	if err := p.query.CheckFresh(s.Now()); err != nil {
		return wechat.Opened{}, refused(err)
	}
	return opened, nil
}

// refused gives what package wechat does not believe its kind.
func refused(err error) error {
	kind := problem.MessageUnreadable
	switch wechat.ReasonOf(err) {
	case wechat.RejectSignature, wechat.RejectStale:
		kind = problem.MessageForged
	case wechat.RejectDecrypt, wechat.RejectMalformed, wechat.RejectForeign:
	}
	return problem.Wrap(kind, err, "")
}

// publishOnce tells business systems of a message, unless they were told. Only what
// the broker has is remembered, and only what is remembered counts as a repeat.
func (s *Service) publishOnce(ctx context.Context, p push, m wechat.Message) (outcome, error) {
	key := m.DedupKey()
	seen, err := s.Memory.MessageSeen(ctx, p.AppID, key)
	switch {
	case err != nil:
		return "", problem.Wrap(problem.DatabaseUnavailable, err, "")
	case seen:
		return outcomeRepeated, nil
	}
	id, body, err := encode(p.mchid, p.AppID, m)
	if err != nil {
		return "", problem.Wrap(problem.Internal, err, "")
	}
	if err := s.Bus.PublishMessage(ctx, p.AppID, typeOf(m), id, body); err != nil {
		return "", problem.Wrap(problem.BrokerUnavailable, err, "")
	}
	if err := s.Memory.RememberMessage(ctx, p.AppID, key, s.Now().UTC().Truncate(time.Microsecond)); err != nil {
		return "", problem.Wrap(problem.DatabaseUnavailable, err, "")
	}
	return outcomePublished, nil
}
