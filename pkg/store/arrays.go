package store

import (
	"database/sql/driver"
	"encoding/binary"
	"fmt"
	"math"
	"strings"
	"time"

	"github.com/lib/pq"
)

// Columns travel as one array each and become rows again by unnest: a batch
// of any size is a fixed number of parameters (a statement takes 65,535).

type (
	texts    = pq.StringArray
	integers = pq.Int64Array
	booleans = pq.BoolArray
)

// instants is a timestamptz[] in which the zero time is NULL.
type instants []time.Time

// Value spells the array as PostgreSQL reads it.
func (a instants) Value() (driver.Value, error) {
	var b strings.Builder
	b.WriteByte('{')
	for i, t := range a {
		if i > 0 {
			b.WriteByte(',')
		}
		if t.IsZero() {
			b.WriteString("NULL")
			continue
		}
		b.WriteByte('"')
		b.Write(pq.FormatTimestamp(t.UTC()))
		b.WriteByte('"')
	}
	b.WriteByte('}')
	return b.String(), nil
}

// blobs is a bytea[] in PostgreSQL's binary form: with binary_parameters a
// []byte goes over as it is, half the size of the text form and nothing to
// parse. Layout: array_recv in src/backend/utils/adt/arrayfuncs.c.
type blobs [][]byte

const byteaOID = 17

// Value spells the array in binary.
func (a blobs) Value() (driver.Value, error) {
	size := 20
	for _, blob := range a {
		size += 4 + len(blob)
	}
	if size > math.MaxInt32 {
		return nil, fmt.Errorf("%d bytes in one batch", size)
	}
	out := make([]byte, 0, size)
	if len(a) == 0 { // no dimensions at all
		return append32(out, 0, 0, byteaOID), nil
	}
	out = append32(out, 1, 0, byteaOID, uint32(len(a)), 1) // one dimension, no NULLs, length, lower bound
	for _, blob := range a {
		out = append32(out, uint32(len(blob)))
		out = append(out, blob...)
	}
	return out, nil
}

func append32(out []byte, values ...uint32) []byte {
	for _, v := range values {
		out = binary.BigEndian.AppendUint32(out, v)
	}
	return out
}

// nullTime is the zero time as NULL.
func nullTime(t time.Time) any {
	if t.IsZero() {
		return nil
	}
	return t.UTC()
}

// present is a byte string that is never NULL: the driver sends nil as NULL.
func present(b []byte) []byte {
	if b == nil {
		return []byte{}
	}
	return b
}

// instant is a time as the database keeps it: UTC, whole microseconds. What
// is decided in memory must equal what is read back.
func instant(t time.Time) time.Time {
	if t.IsZero() {
		return time.Time{}
	}
	return t.UTC().Truncate(time.Microsecond)
}

// legible makes text from outside fit for a text column that only describes:
// PostgreSQL takes neither NUL nor broken UTF-8. The bytes themselves are kept
// elsewhere, unchanged. Columns that money depends on are never bent like this.
func legible(s string) string {
	if strings.IndexByte(s, 0) >= 0 {
		s = strings.ReplaceAll(s, "\x00", "\uFFFD")
	}
	return strings.ToValidUTF8(s, "\uFFFD")
}
