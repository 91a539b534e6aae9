package wechat

import (
	"encoding/base64"
	"encoding/hex"
	"net/url"
	"strings"
	"unicode/utf8"
)

// maxMessageRunes bounds what of a foreign text goes into an error.
const maxMessageRunes = 200

// minScrubbed is the shortest text that is looked for: a shorter one would be
// found in every sentence.
const minScrubbed = 4

// scrub makes a foreign text fit for an error: the secrets of the call are
// taken out in every encoding that they were sent in or are likely to be
// echoed in, control characters too, and it ends after maxMessageRunes.
func scrub(text string, secrets []string) string {
	for _, secret := range secrets {
		if len(secret) < minScrubbed {
			continue
		}
		raw := []byte(secret)
		for _, shape := range []string{
			secret, url.QueryEscape(secret), hex.EncodeToString(raw),
			base64.StdEncoding.EncodeToString(raw), base64.RawStdEncoding.EncodeToString(raw),
			base64.URLEncoding.EncodeToString(raw), base64.RawURLEncoding.EncodeToString(raw),
		} {
			text = strings.ReplaceAll(text, shape, "[redacted]")
		}
	}
	text = strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f || r == utf8.RuneError {
			return ' '
		}
		return r
	}, text)
	runes := []rune(text)
	return string(runes[:min(len(runes), maxMessageRunes)])
}
