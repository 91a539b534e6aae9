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

// A []byte parameter goes over in PostgreSQL's binary form (binary_parameters),
// so arrays are written in it: half the size of the text form for bytes,
// nothing to escape, nothing to parse.

type (
	texts    []string    // text[]
	blobs    [][]byte    // bytea[]
	integers []int64     // bigint[]
	instants []time.Time // timestamptz[] in which the zero time is NULL

	uuids    = pq.StringArray // uuid[]
	booleans = pq.BoolArray   // boolean[]
)

// Types of elements, from pg_type.
const (
	oidBytea       = 17
	oidInt8        = 20
	oidText        = 25
	oidTimestamptz = 1184
)

func (a texts) Value() (driver.Value, error) {
	size := 0
	for _, s := range a {
		size += len(s)
	}
	return array(oidText, len(a), size, func(out []byte, i int) []byte {
		return append(append32(out, uint32(len(a[i]))), a[i]...)
	})
}

func (a blobs) Value() (driver.Value, error) {
	size := 0
	for _, b := range a {
		size += len(b)
	}
	return array(oidBytea, len(a), size, func(out []byte, i int) []byte {
		return append(append32(out, uint32(len(a[i]))), a[i]...)
	})
}

func (a integers) Value() (driver.Value, error) {
	return array(oidInt8, len(a), 8*len(a), func(out []byte, i int) []byte { return append64(out, a[i]) })
}

// Value counts microseconds from the beginning of 2000, as timestamptz does.
// Years that it cannot hold overflow into a value that PostgreSQL refuses.
func (a instants) Value() (driver.Value, error) {
	epoch := time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC).UnixMicro()
	return array(oidTimestamptz, len(a), 8*len(a), func(out []byte, i int) []byte {
		switch year := a[i].Year(); {
		case a[i].IsZero():
			return append32(out, math.MaxUint32) // NULL
		case year < minYear || year > maxYear:
			return append64(out, math.MaxInt64-1)
		}
		return append64(out, a[i].UnixMicro()-epoch)
	})
}

// The years whose microseconds an int64 can count. PostgreSQL's own range
// (4713 BC to 294276) is nearly the same, and it refuses what lies between.
const (
	minYear = -200_000
	maxYear = 290_000
)

// array writes the head of a one-dimensional array and lets each element
// append its length and bytes. Layout: array_recv in
// src/backend/utils/adt/arrayfuncs.c.
func array(oid uint32, n, size int, element func(out []byte, i int) []byte) (driver.Value, error) {
	const head, lengthOfOne = 20, 4
	if size += head + n*lengthOfOne; size > math.MaxInt32 {
		return nil, fmt.Errorf("a column of %d bytes is too large for one batch", size)
	}
	out := make([]byte, 0, size)
	if n == 0 { // no dimensions at all
		return append32(out, 0, 0, oid), nil
	}
	out = append32(out, 1, 1, oid, uint32(n), 1) // dimensions, may hold NULL, type, length, lower bound
	for i := range n {
		out = element(out, i)
	}
	return out, nil
}

func append32(out []byte, values ...uint32) []byte {
	for _, v := range values {
		out = binary.BigEndian.AppendUint32(out, v)
	}
	return out
}

func append64(out []byte, value int64) []byte {
	return binary.BigEndian.AppendUint64(append32(out, 8), uint64(value))
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
