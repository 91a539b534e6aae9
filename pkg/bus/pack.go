package bus

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"maps"
	"slices"
	"time"

	"github.com/fenflow/fenflow/pkg/pay"
	"github.com/fenflow/fenflow/pkg/wechatpay"
)

// A pack is one message that holds many envelopes, because under
// sync_interval "always" a message costs an fsync and the server groups none.
//
//	pack     = "FFPK" version:u8 count:u16 record*
//	record   = length:u32 crc32c:u32 envelope:bytes
//	envelope = delivery_id mchid kind received_at:i64 traceparent
//	           headers:uvarint (name value)* body
//
// Integers are big-endian, strings and the body come with a uvarint length,
// received_at is in nanoseconds since 1970. The sum is per record, so that one
// spoilt envelope does not take its neighbours with it.
const (
	packMagic   = "FFPK"
	packVersion = 1

	maxPackEnvelopes = 256
	maxPackBytes     = 256 << 10

	packHead   = len(packMagic) + 1 + 2
	recordHead = 4 + 4
	// maxHeaders bounds what a decoder allocates for one envelope; five are
	// sent (wechatpay.SignatureHeaders).
	maxHeaders = 64
)

//nolint:gochecknoglobals // a table that the standard library makes once and shares
var castagnoli = crc32.MakeTable(crc32.Castagnoli)

var errTruncated = errors.New("truncated")

// unpacked is one envelope of a pack, or why it could not be read.
type unpacked struct {
	envelope wechatpay.Envelope
	raw      []byte // what could not be read
	err      error
}

// encodeEnvelope makes the record of one envelope.
func encodeEnvelope(env wechatpay.Envelope) ([]byte, error) {
	if len(env.Headers) > maxHeaders {
		return nil, fmt.Errorf("encode envelope: %d headers, at most %d: %w", len(env.Headers), maxHeaders, ErrTooLarge)
	}
	b := make([]byte, recordHead, recordHead+len(env.Body)+768)
	b = appendText(b, string(env.DeliveryID))
	b = appendText(b, string(env.MchID))
	b = appendText(b, string(env.Kind))
	b = binary.BigEndian.AppendUint64(b, uint64(env.ReceivedAt.UnixNano()))
	b = appendText(b, env.TraceParent)
	b = binary.AppendUvarint(b, uint64(len(env.Headers)))
	for _, name := range slices.Sorted(maps.Keys(env.Headers)) {
		b = appendText(b, name)
		b = appendText(b, env.Headers[name])
	}
	b = appendText(b, env.Body)
	if len(b)+packHead > maxPackBytes {
		return nil, fmt.Errorf("encode envelope of %d bytes: %w", len(b), ErrTooLarge)
	}
	payload := b[recordHead:]
	binary.BigEndian.PutUint32(b, uint32(len(payload)))
	binary.BigEndian.PutUint32(b[4:], crc32.Checksum(payload, castagnoli))
	return b, nil
}

// encodePack joins 1 to maxPackEnvelopes records.
func encodePack(records [][]byte) []byte {
	size := packHead
	for _, r := range records {
		size += len(r)
	}
	b := make([]byte, 0, size)
	b = append(b, packMagic...)
	b = append(b, packVersion)
	b = binary.BigEndian.AppendUint16(b, uint16(len(records)))
	for _, r := range records {
		b = append(b, r...)
	}
	return b
}

// decodePack reads a pack. An error means that nothing in it could be read;
// records that are spoilt come back with their bytes and an error of their own.
func decodePack(data []byte) ([]unpacked, error) {
	if len(data) < packHead || string(data[:len(packMagic)]) != packMagic {
		return nil, errors.New("decode pack: not a pack")
	}
	if v := data[len(packMagic)]; v != packVersion {
		return nil, fmt.Errorf("decode pack: version %d, this program reads %d", v, packVersion)
	}
	count := int(binary.BigEndian.Uint16(data[packHead-2:]))
	if count < 1 || count > maxPackEnvelopes {
		return nil, fmt.Errorf("decode pack: says it holds %d envelopes", count)
	}
	rest := data[packHead:]
	all := make([]unpacked, 0, count)
	for range count {
		var one unpacked
		one, rest = decodeRecord(rest)
		all = append(all, one)
		if errors.Is(one.err, errTruncated) && rest == nil {
			return all, nil // where the next record begins is unknown
		}
	}
	if len(rest) > 0 {
		all = append(all, unpacked{raw: rest, err: errors.New("decode pack: bytes after the last envelope")})
	}
	return all, nil
}

func decodeRecord(data []byte) (one unpacked, rest []byte) {
	if len(data) < recordHead {
		return unpacked{raw: data, err: fmt.Errorf("decode envelope: %w", errTruncated)}, nil
	}
	length := uint64(binary.BigEndian.Uint32(data))
	if length > uint64(len(data)-recordHead) {
		return unpacked{raw: data, err: fmt.Errorf("decode envelope: %w", errTruncated)}, nil
	}
	payload, rest := data[recordHead:recordHead+length], data[recordHead+length:]
	if crc32.Checksum(payload, castagnoli) != binary.BigEndian.Uint32(data[4:]) {
		return unpacked{raw: payload, err: errors.New("decode envelope: checksum differs")}, rest
	}
	env, err := decodePayload(payload)
	if err != nil {
		return unpacked{raw: payload, err: fmt.Errorf("decode envelope: %w", err)}, rest
	}
	return unpacked{envelope: env}, rest
}

func decodePayload(payload []byte) (wechatpay.Envelope, error) {
	r := reader{rest: payload}
	env := wechatpay.Envelope{
		DeliveryID: pay.DeliveryID(r.bytes()),
		MchID:      pay.MchID(r.bytes()),
		Kind:       pay.DeliveryKind(r.bytes()),
		ReceivedAt: time.Unix(0, int64(r.uint64())).UTC(),
	}
	env.TraceParent = string(r.bytes())
	n := r.uvarint()
	if n > maxHeaders {
		return wechatpay.Envelope{}, fmt.Errorf("%d headers", n)
	}
	env.Headers = make(map[string]string, n)
	for range n {
		name := string(r.bytes())
		env.Headers[name] = string(r.bytes())
	}
	env.Body = slices.Clone(r.bytes())
	switch {
	case r.short:
		return wechatpay.Envelope{}, errTruncated
	case len(r.rest) > 0:
		return wechatpay.Envelope{}, fmt.Errorf("%d bytes too many", len(r.rest))
	}
	return env, nil
}

// reader takes fields off a payload; after the first that is not there it
// gives zero values, and short says so.
type reader struct {
	rest  []byte
	short bool
}

func (r *reader) uvarint() uint64 {
	v, n := binary.Uvarint(r.rest)
	if n <= 0 {
		r.short, r.rest = true, nil
		return 0
	}
	r.rest = r.rest[n:]
	return v
}

func (r *reader) take(n uint64) []byte {
	if n > uint64(len(r.rest)) {
		r.short, r.rest = true, nil
		return nil
	}
	taken := r.rest[:n]
	r.rest = r.rest[n:]
	return taken
}

func (r *reader) bytes() []byte { return r.take(r.uvarint()) }

func (r *reader) uint64() uint64 {
	if b := r.take(8); b != nil {
		return binary.BigEndian.Uint64(b)
	}
	return 0
}

func appendText[T string | []byte](b []byte, s T) []byte {
	return append(binary.AppendUvarint(b, uint64(len(s))), s...)
}
