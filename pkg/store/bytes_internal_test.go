package store

import (
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

func TestHeaders_come_back_byte_for_byte(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		anyBytes := rapid.Custom(func(t *rapid.T) string { return string(rapid.SliceOf(rapid.Byte()).Draw(t, "bytes")) })
		given := rapid.MapOf(anyBytes, anyBytes).Draw(t, "headers")
		text := encodeHeaders(given)
		require.Equal(t, text, legible(text), "storable as text")
		got, err := decodeHeaders(text)
		require.NoError(t, err)
		require.Equal(t, given, got)
	})
}

func FuzzDecodeHeaders(f *testing.F) {
	for _, seed := range []string{"", "\"a\": \"b\"\n", "\"a\"", "\"a\": b", "x", "\"\\xff\": \"\\x00\"\n\n"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		headers, err := decodeHeaders(text)
		if err != nil {
			return
		}
		again, err := decodeHeaders(encodeHeaders(headers))
		require.NoError(t, err)
		require.Equal(t, headers, again)
	})
}
