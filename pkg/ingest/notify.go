package ingest

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"sync"
	"time"

	"github.com/go-chi/chi/v5"
	"github.com/google/uuid"

	"github.com/fenflow/fenflow/pkg/httpedge"
	"github.com/fenflow/fenflow/pkg/merchant"
	"github.com/fenflow/fenflow/pkg/pay"
	"github.com/fenflow/fenflow/pkg/wechatpay"
)

// publishWait is how long WeChat Pay is kept waiting for the PubAck. It waits
// 5 s in all (WeChat Pay doc 4012075420).
const publishWait = 2 * time.Second

// maxNotifyBytes bounds a notification. Real ones are 1–4 KiB; more than this
// is refused whole, never cut: a cut body verifies nothing.
const maxNotifyBytes = wechatpay.MaxBodyBytes

// Merchants is who is configured.
type Merchants interface {
	ByMchID(id pay.MchID) (merchant.Merchant, bool)
	ByAPIKey(plain string) (m merchant.Merchant, keyName string, ok bool)
	All() []merchant.Merchant
}

// Publisher puts a notification on the bus. It returns nil after the PubAck
// and never before.
type Publisher interface {
	Publish(ctx context.Context, env wechatpay.Envelope) error
}

// NotifyConfig is what a NotifyHandler works with.
type NotifyConfig struct {
	Merchants Merchants
	Keys      *Keys
	Gate      *Gate
	Publisher Publisher
	Rejected  RejectedPublisher
	Worker    Requester
	Metrics   *Metrics
	Logger    *slog.Logger
	Now       func() time.Time
	Mount     func(chi.Router) // more routes on the same port; may be nil
}

// NotifyHandler is the public listener: it takes notifications.
type NotifyHandler struct {
	NotifyConfig

	router  http.Handler
	sampler *sampler
	refresh *refresher
}

// NewNotify makes the public listener's handler. Run must run beside it.
func NewNotify(c NotifyConfig) *NotifyHandler {
	h := &NotifyHandler{NotifyConfig: c}
	h.sampler = newSampler(c.Rejected, c.Metrics, c.Logger, c.Now)
	h.refresh = newRefresher(c.Worker, c.Metrics, c.Logger, c.Now)
	r := chi.NewRouter()
	r.Use(httpedge.Recoverer(c.Metrics.panicked, c.Logger, func(w http.ResponseWriter) { replyV3(w, http.StatusInternalServerError, false, "internal error") }))
	r.NotFound(func(w http.ResponseWriter, _ *http.Request) {
		replyV3(w, http.StatusNotFound, false, "there is nothing here")
	})
	r.MethodNotAllowed(h.strangeMethod)
	r.HandleFunc("/notify/v3/{mchid}", h.route(pay.DeliveryNotifyV3, h.checkV3, replyV3))
	r.HandleFunc("/notify/v2/{mchid}/pay", h.route(pay.DeliveryNotifyV2Pay, h.checkV2, replyV2))
	r.HandleFunc("/notify/v2/{mchid}/refund", h.route(pay.DeliveryNotifyV2Refund, h.checkV2, replyV2))
	if c.Mount != nil {
		c.Mount(r)
	}
	h.router = r
	return h
}

// ServeHTTP takes one notification.
func (h *NotifyHandler) ServeHTTP(w http.ResponseWriter, r *http.Request) { h.router.ServeHTTP(w, r) }

// Run does what happens after answers (samples, key refreshes) until the
// context ends.
func (h *NotifyHandler) Run(ctx context.Context) {
	var background sync.WaitGroup
	background.Go(func() { h.sampler.run(ctx) })
	background.Wait()
	h.refresh.wait()
}

// strangeMethod answers methods that HTTP does not know; the known ones reach
// their route and are refused there.
func (h *NotifyHandler) strangeMethod(w http.ResponseWriter, r *http.Request) {
	no := &refusal{status: http.StatusMethodNotAllowed, outcome: WrongMethod, message: "notifications are posted"}
	w.Header().Set("Allow", http.MethodPost)
	replyV3(w, no.status, false, no.message)
	h.metricsAndLog(r, wechatpay.Envelope{}, no, no.status, no.outcome, 0)
}

// check verifies what arrived, as far as the protocol lets the edge do so. It
// fills in the envelope as it goes, and returns nil for what may be published.
type check func(w http.ResponseWriter, r *http.Request, env *wechatpay.Envelope) *refusal

func (h *NotifyHandler) route(kind pay.DeliveryKind, check check, answer reply) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		began := h.Now()
		env := wechatpay.Envelope{MchID: pay.MchID(chi.URLParam(r, "mchid")), Kind: kind}
		no := h.accept(w, r, &env, check)
		status, outcome := http.StatusNoContent, Accepted
		if no == nil {
			answer(w, status, true, "")
		} else {
			status, outcome = no.status, no.outcome
			if status == http.StatusMethodNotAllowed {
				w.Header().Set("Allow", http.MethodPost)
			}
			answer(w, status, false, no.message)
		}
		h.metricsAndLog(r, env, no, status, outcome, h.Now().Sub(began))
		if no != nil && no.sample {
			h.sampler.offer(env, no)
		}
	}
}

// accept is the decision table. It verifies before it publishes, and returns
// nil only after the PubAck.
func (h *NotifyHandler) accept(w http.ResponseWriter, r *http.Request, env *wechatpay.Envelope, check check) *refusal {
	if _, known := h.Merchants.ByMchID(env.MchID); !known {
		return &refusal{status: http.StatusNotFound, outcome: UnknownMerchant, message: "this merchant is not configured here: compare the mchid in the notify URL with the configuration (`fenflow config show`)"}
	}
	if r.Method != http.MethodPost {
		return &refusal{status: http.StatusMethodNotAllowed, outcome: WrongMethod, message: "notifications are posted"}
	}
	if err := h.Gate.Open(); err != nil {
		return &refusal{status: http.StatusServiceUnavailable, outcome: GateShut, message: err.Error(), cause: err}
	}
	id, err := uuid.NewV7()
	if err != nil {
		return &refusal{status: http.StatusServiceUnavailable, outcome: InternalError, message: "no delivery id could be made", cause: err}
	}
	env.DeliveryID, env.TraceParent = pay.DeliveryID(id.String()), traceParent(r)
	if no := check(w, r, env); no != nil {
		return no
	}
	return h.publish(r.Context(), *env)
}

func (h *NotifyHandler) publish(ctx context.Context, env wechatpay.Envelope) *refusal {
	ctx, cancel := context.WithTimeout(ctx, publishWait)
	defer cancel()
	began := h.Now()
	err := h.Publisher.Publish(ctx, env)
	h.Metrics.publishing.WithLabelValues(string(env.Kind)).Observe(h.Now().Sub(began).Seconds())
	if err != nil {
		return &refusal{status: http.StatusServiceUnavailable, outcome: BrokerUnavailable, message: "the notification could not be stored: the broker is away, full or slow", cause: fmt.Errorf("publish notification: %w", err)}
	}
	return nil
}

// read takes the body within its limit. The time of arrival is when all of it
// was there.
func (h *NotifyHandler) read(w http.ResponseWriter, r *http.Request, env *wechatpay.Envelope) *refusal {
	body, err := httpedge.ReadBody(w, r, maxNotifyBytes)
	env.ReceivedAt = h.Now().UTC()
	switch {
	case errors.Is(err, httpedge.ErrTooLarge):
		return &refusal{status: http.StatusRequestEntityTooLarge, outcome: BodyTooLarge, message: fmt.Sprintf("the body is larger than %d bytes", maxNotifyBytes)}
	case err != nil:
		return &refusal{status: http.StatusBadRequest, outcome: BodyUnreadable, message: "the body did not arrive whole", cause: err}
	}
	env.Body = body
	return nil
}

func (h *NotifyHandler) metricsAndLog(r *http.Request, env wechatpay.Envelope, no *refusal, status int, outcome Outcome, took time.Duration) {
	h.Metrics.notified(env.MchID, env.Kind, outcome, took)
	line := []slog.Attr{
		slog.String("mchid", httpedge.Clip(string(env.MchID), 32)), slog.String("kind", string(env.Kind)),
		slog.String("outcome", string(outcome)), slog.Int("status", status),
		slog.String("delivery_id", string(env.DeliveryID)), slog.String("traceparent", env.TraceParent),
		slog.Int("bytes", len(env.Body)), slog.Duration("took", took), slog.String("remote", r.RemoteAddr),
	}
	level := slog.LevelInfo
	if no != nil {
		level = slog.LevelWarn
		if no.serial != "" {
			line = append(line, slog.String("serial", httpedge.Clip(no.serial, 128)))
		}
		line = append(line, slog.String("message", no.message))
		if no.cause != nil {
			line = append(line, slog.String("error", no.cause.Error()))
		}
		if status >= http.StatusInternalServerError {
			level = slog.LevelError
		}
	}
	h.Logger.LogAttrs(r.Context(), level, "notification", line...)
}
