package settle

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"runtime"
	"runtime/debug"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/fenflow/fenflow/pkg/pay"
	"github.com/fenflow/fenflow/pkg/wechatpay"
)

// refreshTimeout bounds the wait for keys when a notification names an unknown
// one. Past it, the envelope becomes a letter that can be replayed.
const refreshTimeout = 15 * time.Second

// read verifies and reads one envelope. Whatever is wrong with it, an entry
// comes out: an observation, a letter, or bytes for the archive only. The error
// is ours alone: keys could not be looked up, and nothing is decided.
func (s *Service) read(ctx context.Context, a wechatpay.Arrival) (pay.Entry, error) {
	return s.readBy(ctx, a, s.openWithFreshKeys)
}

func (s *Service) readBy(ctx context.Context, a wechatpay.Arrival, open func(context.Context, wechatpay.Envelope) (wechatpay.Notification, error)) (entry pay.Entry, err error) {
	delivery := deliveryOf(a)
	defer func() {
		if p := recover(); p != nil {
			s.log.ErrorContext(ctx, "panic while reading a notification", "mchid", delivery.MchID, "delivery_id", delivery.ID, "panic", harmless(p), "stack", string(debug.Stack()))
			entry, err = letter(deliveryOf(a), pay.LetterInternal, "panic while reading: "+harmless(p)), nil
		}
	}()
	if a.Unreadable != "" {
		return letter(delivery, pay.LetterMalformed, a.Unreadable), nil
	}
	notification, err := open(ctx, a.Envelope)
	switch {
	case errors.Is(err, errUndecided):
		return pay.Entry{}, err
	case err != nil:
		cause := wechatpay.LetterCauseOf(err)
		return letter(delivery, cause.Reason, cause.Detail), nil
	}
	return entryOf(delivery, notification), nil
}

// errUndecided: whether a message is genuine could not be found out now.
var errUndecided = errors.New("its keys cannot be looked up")

// passes says whether an error is the database's and may go away by itself.
func passes(err error) bool {
	var fault interface{ Retryable() bool }
	return errors.As(err, &fault) && fault.Retryable()
}

// openWithFreshKeys opens an envelope; if it names a merchant or a key that is
// not known, once more with what is configured and fetched anew: the edge may
// have learned of either before this worker did.
func (s *Service) openWithFreshKeys(ctx context.Context, env wechatpay.Envelope) (wechatpay.Notification, error) {
	notification, err := s.openWith(env)
	switch wechatpay.ReasonOf(err) {
	case wechatpay.ReasonUnknownSerial, wechatpay.ReasonUnknownMerchant:
	default:
		return notification, err
	}
	bounded, cancel := context.WithTimeout(ctx, refreshTimeout)
	defer cancel()
	refreshErr := s.keys.Refresh(bounded, env.MchID)
	if refreshErr != nil {
		s.log.WarnContext(ctx, "keys could not be refreshed for a notification", "mchid", env.MchID, "delivery_id", env.DeliveryID, "error", refreshErr)
	}
	notification, err = s.openWith(env)
	if err != nil && passes(refreshErr) {
		return notification, fmt.Errorf("%w: %w", errUndecided, refreshErr)
	}
	return notification, err
}

func (s *Service) openWith(env wechatpay.Envelope) (wechatpay.Notification, error) {
	credentials, _ := s.merchants.Credentials(env.MchID) // nil is refused as an unknown merchant
	return s.open(env, credentials)
}

// entryOf says what a verified notification is to the books.
func entryOf(d pay.Delivery, n wechatpay.Notification) pay.Entry {
	d.KeyID, d.NotificationID, d.EventType = n.KeyID, n.ID, n.EventType
	d.OutTradeNo, d.TransactionID = n.OutTradeNo(), n.TransactionID()
	if n.Refund != nil {
		return refundEntry(d, n)
	}
	obs, concerns := n.Observation(pay.SourceNotification)
	if !concerns {
		return pay.Entry{Delivery: &d}
	}
	return pay.Entry{Delivery: &d, Observation: &obs}
}

func letter(d pay.Delivery, reason pay.LetterReason, detail string) pay.Entry {
	return pay.Entry{Delivery: &d, Letter: &pay.LetterCause{Reason: reason, Detail: clean(detail)}}
}

func deliveryOf(a wechatpay.Arrival) pay.Delivery {
	e := a.Envelope
	return pay.Delivery{
		ID: e.DeliveryID, MchID: e.MchID, Kind: e.Kind, ReceivedAt: e.ReceivedAt,
		Headers: e.Headers, Body: e.Body, TraceParent: e.TraceParent, Position: a.Position,
	}
}

// usableID is the arrival's delivery id, or one derived from its bytes where
// it has none that the archive could file: the same bytes, the same id.
func usableID(a wechatpay.Arrival) pay.DeliveryID {
	if id, err := uuid.Parse(string(a.Envelope.DeliveryID)); err == nil {
		return pay.DeliveryID(id.String())
	}
	return pay.DeliveryID(uuid.NewSHA1(uuid.NameSpaceOID, a.Envelope.Body).String())
}

func sameBytes(a, b wechatpay.Envelope) bool {
	return bytes.Equal(a.Body, b.Body) && maps.Equal(a.Headers, b.Headers) && a.ReceivedAt.Equal(b.ReceivedAt)
}

// harmless prints a panic without what it may quote: only the runtime's own
// messages are known to hold indexes and types, never contents.
func harmless(p any) string {
	if err, ok := p.(runtime.Error); ok {
		return err.Error()
	}
	return fmt.Sprintf("%T", p)
}

// maxDetail bounds a letter's detail: it is for reading, the bytes are beside it.
const maxDetail = 500

// clean makes text that came from outside fit for a text column.
func clean(text string) string {
	text = strings.ReplaceAll(strings.ToValidUTF8(text, "\uFFFD"), "\x00", "\uFFFD")
	if len(text) > maxDetail {
		text = strings.ToValidUTF8(text[:maxDetail], "") + "…"
	}
	return text
}
