package simulator

import (
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/google/uuid"
)

const (
	alphanumeric = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
	decimal      = "0123456789"
)

// random makes identifiers from one source of bytes. An unreadable source is an
// error: a guessable nonce would be worse than none.
type random struct{ source io.Reader }

func (r random) bytes(n int) ([]byte, error) {
	b := make([]byte, n)
	if _, err := io.ReadFull(r.source, b); err != nil {
		return nil, fmt.Errorf("read random bytes: %w", err)
	}
	return b, nil
}

// text draws n characters without bias: bytes beyond the last whole multiple of
// the alphabet are thrown away.
func (r random) text(n int, alphabet string) (string, error) {
	limit := byte(256 / len(alphabet) * len(alphabet) % 256)
	var out strings.Builder
	for out.Len() < n {
		b, err := r.bytes(n)
		if err != nil {
			return "", err
		}
		for _, c := range b {
			if (limit == 0 || c < limit) && out.Len() < n {
				out.WriteByte(alphabet[int(c)%len(alphabet)])
			}
		}
	}
	return out.String(), nil
}

func (r random) hexUpper(n int) (string, error) {
	b, err := r.bytes(n)
	return strings.ToUpper(hex.EncodeToString(b)), err
}

// nonce is 32 characters, as WeChat's own are.
func (r random) nonce() (string, error) { return r.text(32, alphanumeric) }

// noticeID is a UUID: at most 36 characters are allowed (WeChat Pay doc 4012791861).
func (r random) noticeID() (string, error) {
	id, err := uuid.NewRandomFromReader(r.source)
	if err != nil {
		return "", fmt.Errorf("make notice id: %w", err)
	}
	return id.String(), nil
}

// transactionID has 28 digits with the Beijing date inside, as WeChat's have.
func (r random) transactionID(at time.Time) (string, error) {
	digits, err := r.text(16, decimal)
	if err != nil {
		return "", err
	}
	return "4200" + digits[:6] + at.In(beijing()).Format("20060102") + digits[6:], nil
}

// refundID has 29 digits with the Beijing date inside, as WeChat's have.
func (r random) refundID(at time.Time) (string, error) {
	digits, err := r.text(17, decimal)
	if err != nil {
		return "", err
	}
	return "5030" + digits[:6] + at.In(beijing()).Format("20060102") + digits[6:], nil
}

func (r random) prepayID(at time.Time) (string, error) {
	tail, err := r.text(20, "0123456789abcdef")
	return "wx" + at.In(beijing()).Format("20060102150405") + tail, err
}

func (r random) codeURL() (string, error) {
	pr, err := r.text(9, alphanumeric)
	return "weixin://wxpay/bizpayurl?pr=" + pr, err
}

// openid invents a payer: 28 characters that begin with o.
func (r random) openid() (string, error) {
	b, err := r.bytes(21)
	return ("o" + base64.RawURLEncoding.EncodeToString(b))[:28], err
}

// beijing is the zone of every time that WeChat writes. It has no daylight saving
// time, so a fixed offset needs no zone database.
func beijing() *time.Location { return time.FixedZone("CST", 8*60*60) }
