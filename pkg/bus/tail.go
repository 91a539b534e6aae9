package bus

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/fenflow/fenflow/pkg/pay"
)

// maxTailBytes bounds one page: it travels as one message, of at most 1 MiB
// (max_payload in deploy/nats.conf), in JSON that may escape some of it.
const maxTailBytes = 512 << 10

// BeyondEndError is a position that the stream has not reached.
type BeyondEndError struct {
	After, Last uint64
}

func (e *BeyondEndError) Error() string {
	return fmt.Sprintf("the stream ends with sequence %d, and what comes after %d was asked for", e.Last, e.After)
}

// ReadEvents reads events where they are stored, without a consumer: nobody's
// acknowledgements are touched. Role worker may.
func (b *Bus) ReadEvents(ctx context.Context, q pay.EventQuery) (pay.EventPage, error) {
	stream, err := b.js.Stream(ctx, StreamEvent)
	if err != nil {
		return pay.EventPage{}, fmt.Errorf("read events: %w", classify(err))
	}
	info := stream.CachedInfo()
	t := &tail{stream: stream, filter: eventFilter(q), limit: q.Limit, page: pay.EventPage{
		StreamMade: info.Created.UTC(), First: info.State.FirstSeq, Last: info.State.LastSeq,
	}}
	if q.Latest {
		err = t.latest(ctx)
	} else {
		err = t.after(ctx, q)
	}
	if err != nil {
		return pay.EventPage{}, fmt.Errorf("read events: %w", classify(err))
	}
	return t.page, nil
}

// everyEvent is the subject of all events.
const everyEvent = subjectEvent + ">"

func eventFilter(q pay.EventQuery) string {
	if q.MchID == "" && q.Fact == "" {
		return everyEvent
	}
	mchid, fact := "*", "*.*"
	if q.MchID != "" {
		mchid = string(q.MchID)
	}
	if q.Fact != "" {
		fact = string(q.Fact)
	}
	return subjectEvent + mchid + "." + fact
}

// tail fills one page.
type tail struct {
	stream jetstream.Stream
	filter string
	limit  int
	bytes  int
	page   pay.EventPage
}

// next is the first message at a sequence or behind it that passes a filter.
func (t *tail) next(ctx context.Context, from uint64, filter string) (*jetstream.RawStreamMsg, error) {
	msg, err := t.stream.GetMsg(ctx, max(from, 1), jetstream.WithGetMsgSubject(filter))
	if errors.Is(err, jetstream.ErrMsgNotFound) {
		return nil, nil //nolint:nilnil // none is an answer
	}
	return msg, err //nolint:wrapcheck // ReadEvents names the step
}

// add takes a message into the page unless that is full.
func (t *tail) add(msg *jetstream.RawStreamMsg) bool {
	if t.bytes += len(msg.Data); len(t.page.Events) == t.limit || len(t.page.Events) > 0 && t.bytes > maxTailBytes {
		return false
	}
	t.page.Events = append(t.page.Events, pay.StoredEvent{Sequence: msg.Sequence, Subject: msg.Subject, StoredAt: msg.Time.UTC(), Payload: msg.Data})
	return true
}

// after reads forward from a position.
func (t *tail) after(ctx context.Context, q pay.EventQuery) error {
	begin, err := t.begin(ctx, q)
	if err != nil {
		return err
	}
	t.page.Next = begin - 1
	if begin < t.page.First {
		t.gap(begin, t.page.First-1)
		begin, t.page.Next = t.page.First, t.page.First-1
	}
	for {
		msg, err := t.next(ctx, begin, t.filter)
		switch {
		case err != nil:
			return err
		case msg == nil:
			t.page.Next = max(t.page.Next, t.page.Last)
			return nil
		case !t.add(msg):
			t.page.More = true
			return nil
		}
		if t.filter == everyEvent && msg.Sequence > begin {
			t.gap(begin, msg.Sequence-1)
		}
		t.page.Next, begin = msg.Sequence, msg.Sequence+1
	}
}

// begin is the first sequence that is asked for.
func (t *tail) begin(ctx context.Context, q pay.EventQuery) (uint64, error) {
	switch known := !q.Stream.IsZero(); {
	case !q.Since.IsZero():
		return t.since(ctx, q)
	case known && (!q.Stream.Equal(t.page.StreamMade) || q.After > t.page.Last):
		t.page.Restarted = true
		return 1, nil
	case q.After > t.page.Last:
		return 0, &BeyondEndError{After: q.After, Last: t.page.Last}
	}
	return q.After + 1, nil
}

// since searches by halving: sequences grow with time.
func (t *tail) since(ctx context.Context, q pay.EventQuery) (uint64, error) {
	low, high := t.page.First, t.page.Last+1
	for low < high {
		middle := low + (high-low)/2
		msg, err := t.next(ctx, middle, everyEvent)
		switch {
		case err != nil:
			return 0, err
		case msg != nil && msg.Time.Before(q.Since):
			low = max(low, msg.Sequence) + 1
		default:
			high = middle
		}
	}
	if low == t.page.First { // what is gone may have been stored since then, too
		return 1, nil
	}
	return low, nil
}

func (t *tail) gap(from, to uint64) {
	t.page.Gaps = append(t.page.Gaps, pay.SequenceGap{From: from, To: to})
}

// latest reads backward from the end, the newest first, and turns the page round.
func (t *tail) latest(ctx context.Context) error {
	t.page.Next = t.page.Last
	for before := t.page.Last + 1; len(t.page.Events) < t.limit; {
		msg, err := t.previous(ctx, before)
		if err != nil {
			return err
		}
		if msg == nil || !t.add(msg) {
			break
		}
		before = msg.Sequence
	}
	slices.Reverse(t.page.Events)
	return nil
}

// previous finds the last message before a sequence that passes the filter. The
// broker only searches forward: steps back that double find some message, and
// halving what lies behind it finds the last. So one of a merchant that is
// seldom paid costs some tens of questions, and not one for each message between.
func (t *tail) previous(ctx context.Context, before uint64) (*jetstream.RawStreamMsg, error) {
	var found *jetstream.RawStreamMsg
	low, high := before, before // nothing passes in [low, before)
	for step := uint64(1); found == nil && low > t.page.First; step *= 2 {
		high = low
		if low -= min(step, low-t.page.First); low == high {
			break
		}
		msg, err := t.next(ctx, low, t.filter)
		switch {
		case err != nil:
			return nil, err
		case msg != nil && msg.Sequence < high:
			found = msg
		}
	}
	for found != nil && found.Sequence+1 < high {
		middle := found.Sequence + 1 + (high-found.Sequence-1)/2
		msg, err := t.next(ctx, middle, t.filter)
		switch {
		case err != nil:
			return nil, err
		case msg != nil && msg.Sequence < high:
			found = msg
		default:
			high = middle
		}
	}
	return found, nil
}

// FactOf reads merchant and fact from the subject of an event.
func FactOf(subject string) (pay.MchID, pay.Fact) {
	mchid, fact, _ := strings.Cut(strings.TrimPrefix(subject, subjectEvent), ".")
	return pay.MchID(mchid), pay.Fact(fact)
}
