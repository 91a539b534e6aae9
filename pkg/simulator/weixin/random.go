package weixin

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"strings"
)

const (
	alphanumeric = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
	hexDigits    = "0123456789abcdef"
	decimal      = "0123456789"
)

// random draws from one source of bytes; an unreadable source is an error.
type random struct{ source io.Reader }

func (r random) bytes(n int) ([]byte, error) {
	b := make([]byte, n)
	if _, err := io.ReadFull(r.source, b); err != nil {
		return nil, fmt.Errorf("read random bytes: %w", err)
	}
	return b, nil
}

// text draws n characters without bias: what lies past the last whole multiple of
// the alphabet is drawn again.
func (r random) text(n int, alphabet string) (string, error) {
	most := 256 / len(alphabet) * len(alphabet)
	var out strings.Builder
	for out.Len() < n {
		drawn, err := r.bytes(n)
		if err != nil {
			return "", err
		}
		for _, b := range drawn {
			if int(b) < most && out.Len() < n {
				out.WriteByte(alphabet[int(b)%len(alphabet)])
			}
		}
	}
	return out.String(), nil
}

// digestOf is hex of SHA-256 over lines: what must come out the same in each run.
func digestOf(lines ...string) string {
	sum := sha256.Sum256([]byte(strings.Join(lines, "\n")))
	return hex.EncodeToString(sum[:])
}
