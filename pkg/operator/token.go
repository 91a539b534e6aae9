package operator

import (
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"io"
	"regexp"
)

// tokenPrefix lets people and secret scanners recognise a token of ours.
const tokenPrefix = "fft_"

// tokenBytes: 256 random bits cannot be guessed, so a plain hash is enough to
// keep them by.
const tokenBytes = 32

var (
	// tokenShape is the prefix and 32 bytes in base64url, without padding.
	tokenShape = regexp.MustCompile(`^fft_[0-9A-Za-z_-]{43}$`)
	// tokenNameShape fits a log line, an audit row and a command line.
	tokenNameShape = regexp.MustCompile(`^[0-9A-Za-z][0-9A-Za-z._-]{0,63}$`)
)

// Mint makes a token: the text that its bearer keeps, and the sum that is all the
// books know of it.
func Mint(random io.Reader) (text string, sum [sha256.Size]byte, err error) {
	raw := make([]byte, tokenBytes)
	if _, err := io.ReadFull(random, raw); err != nil {
		return "", sum, fmt.Errorf("read random bytes: %w", err)
	}
	text = tokenPrefix + base64.RawURLEncoding.EncodeToString(raw)
	return text, sha256.Sum256([]byte(text)), nil
}

// ValidName says whether a token may have this name.
func ValidName(name string) bool { return tokenNameShape.MatchString(name) }
