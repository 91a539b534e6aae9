package store

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/fenflow/fenflow/pkg/pay"
)

// archiveID is the id that a delivery is kept under: its own, or, where that
// is no UUID (a forged pack), one derived from what came, so that a repeat
// finds the same row and no bytes are ever turned away.
func archiveID(d *pay.Delivery) string {
	if id, err := uuid.Parse(string(d.ID)); err == nil {
		return id.String()
	}
	name := fmt.Sprintf("delivery/%d:%s/%s", len(d.ID), d.ID, d.Body)
	return uuid.NewSHA1(uuid.MustParse(eventSpace), []byte(name)).String()
}

// archiveMchid is the merchant that a delivery is kept under: the path's, as
// far as a key column can hold it.
func archiveMchid(mchid pay.MchID) string { return short(legible(string(mchid))) }

// filed is a delivery with the id it is archived under and, where it could
// not be settled, why.
type filed struct {
	*pay.Delivery
	id     string
	letter *pay.LetterCause
}

func (f filed) compare(other filed) int {
	return cmp.Or(cmp.Compare(f.MchID, other.MchID), cmp.Compare(f.id, other.id))
}

// mail is each delivery of the batch once, sorted by key, so that concurrent
// batches that share deliveries wait for each other in one order. Where copies
// of one delivery ended differently, the effect counts and not the letter.
func (b *batch) mail() []filed {
	seen := make(map[[2]string]int, len(b.entries))
	mail := make([]filed, 0, len(b.entries))
	for i, entry := range b.entries {
		if entry.Delivery == nil {
			continue
		}
		f := filed{Delivery: entry.Delivery, id: b.ids[i], letter: b.results[i].Letter}
		if obs := entry.Observation; obs != nil && f.OutTradeNo == "" {
			told := *f.Delivery
			told.OutTradeNo, told.TransactionID = obs.OutTradeNo, obs.TransactionID
			f.Delivery = &told
		}
		key := [2]string{string(f.MchID), f.id}
		at, again := seen[key]
		switch {
		case !again:
			seen[key] = len(mail)
			mail = append(mail, f)
		case f.letter == nil:
			mail[at] = f
		}
	}
	slices.SortFunc(mail, filed.compare)
	return mail
}

// deliveryColumns are deliveries on their way to the archive or the letters.
type deliveryColumns struct {
	id                                                                                                     uuids
	mchid, kind, headers, traceParent, stream, keyID, notificationID, eventType, outTradeNo, transactionID texts
	receivedAt                                                                                             instants
	body                                                                                                   blobs
	sequence, index                                                                                        integers
}

// add describes what can be described: the bytes and the signature's headers
// are kept as they came, all other columns as far as PostgreSQL can hold them.
func (c *deliveryColumns) add(f filed) {
	c.mchid = append(c.mchid, archiveMchid(f.MchID))
	c.id = append(c.id, f.id)
	c.kind = append(c.kind, legible(string(f.Kind)))
	c.receivedAt = append(c.receivedAt, storable(f.ReceivedAt))
	c.headers = append(c.headers, encodeHeaders(f.Headers))
	c.body = append(c.body, f.Body)
	c.traceParent = append(c.traceParent, legible(f.TraceParent))
	c.stream = append(c.stream, legible(f.Position.Stream))
	c.sequence = append(c.sequence, int64(f.Position.Sequence))
	c.index = append(c.index, int64(int32(f.Position.Index)))
	c.keyID = append(c.keyID, legible(f.KeyID))
	c.notificationID = append(c.notificationID, legible(f.NotificationID))
	c.eventType = append(c.eventType, legible(f.EventType))
	c.outTradeNo = append(c.outTradeNo, short(legible(string(f.OutTradeNo))))
	c.transactionID = append(c.transactionID, legible(string(f.TransactionID)))
}

func (c *deliveryColumns) args() []any {
	return []any{
		c.mchid, c.id, c.kind, c.receivedAt, c.headers, c.body, c.traceParent, c.stream, c.sequence, c.index,
		c.keyID, c.notificationID, c.eventType, c.outTradeNo, c.transactionID,
	}
}

// storable bends a time that no clock of ours wrote: PostgreSQL's text form
// of years past 9999 or before 1 is not Go's, and NULL is not allowed.
func storable(t time.Time) time.Time {
	if year := t.UTC().Year(); t.IsZero() || year < 1 || year > 9999 {
		return time.Unix(0, 0).UTC()
	}
	return instant(t)
}

// maxIndexed bounds texts of indexed columns: a B-tree entry holds 2,704 bytes.
const maxIndexed = 256

func short(s string) string {
	if len(s) > maxIndexed {
		return strings.ToValidUTF8(s[:maxIndexed], "")
	}
	return s
}

// encodeHeaders writes headers as lines of two quoted strings: readable to a
// person, and exact for any bytes (JSON would bend what is not UTF-8).
func encodeHeaders(headers map[string]string) string {
	names := make([]string, 0, len(headers))
	for name := range headers {
		names = append(names, name)
	}
	slices.Sort(names)
	var b strings.Builder
	for _, name := range names {
		b.WriteString(strconv.QuoteToASCII(name) + ": " + strconv.QuoteToASCII(headers[name]) + "\n")
	}
	return b.String()
}

// decodeHeaders reads what encodeHeaders wrote.
func decodeHeaders(text string) (map[string]string, error) {
	headers := map[string]string{}
	for line := range strings.Lines(text) {
		quotedName, err := strconv.QuotedPrefix(line)
		if err != nil {
			return nil, fmt.Errorf("read headers: %w", err)
		}
		quotedValue, ok := strings.CutPrefix(strings.TrimSuffix(line[len(quotedName):], "\n"), ": ")
		if !ok {
			return nil, fmt.Errorf("read headers: no value in a line of %d bytes", len(line))
		}
		name, nameErr := strconv.Unquote(quotedName)
		value, valueErr := strconv.Unquote(quotedValue)
		if nameErr != nil || valueErr != nil {
			return nil, fmt.Errorf("read headers: a line of %d bytes is not two quoted strings", len(line))
		}
		headers[name] = value
	}
	return headers, nil
}
