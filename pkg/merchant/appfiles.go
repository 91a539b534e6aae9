package merchant

import (
	"encoding/base64"
	"errors"
	"fmt"
	"strings"

	"github.com/fenflow/fenflow/pkg/pay"
)

// AppFiles name where an app's secrets are kept, and say what it replies.
type AppFiles struct {
	AppID          pay.AppID
	Secret         string
	MessageToken   string
	MessageAESKeys []string // the first is current
	Replies        []Reply
}

const (
	// aesKeyCharacters is the length of an EncodingAESKey: 32 bytes in base64
	// without the "=" at its end (WeChat, message encryption).
	aesKeyCharacters = 43
	maxSecretBytes   = 128 // an AppSecret has 32 characters, a message token 3 to 32
)

func (p *problems) apps(files []AppFiles) map[pay.AppID]AppSecrets {
	all := map[pay.AppID]AppSecrets{}
	for _, f := range files {
		if f.Secret == "" && f.MessageToken == "" {
			continue
		}
		s := AppSecrets{Replies: f.Replies}
		s.Secret = p.appSecret("secret_file", f.Secret)
		s.MessageToken = p.appSecret("message_token_file", f.MessageToken)
		for _, file := range f.MessageAESKeys {
			key, err := parseFile("message_aes_key_files", file, ParseMessageAESKey)
			p.add(err)
			if err == nil {
				s.MessageAESKeys = append(s.MessageAESKeys, key)
			}
		}
		all[f.AppID] = s
	}
	return all
}

func (p *problems) appSecret(setting, file string) Secret {
	if file == "" {
		return ""
	}
	secret, err := parseFile(setting, file, ParseAppSecret)
	p.add(err)
	return secret
}

// ParseAppSecret reads an AppSecret or a message token: one word.
func ParseAppSecret(text []byte) (Secret, error) {
	word := strings.TrimSpace(string(text))
	switch {
	case word == "":
		return "", errors.New("it is empty: put the text in it that WeChat's console shows")
	case len(word) > maxSecretBytes || strings.ContainsFunc(word, func(r rune) bool { return r <= ' ' || r > '~' }):
		return "", fmt.Errorf("it must hold one word of at most %d letters and digits", maxSecretBytes)
	}
	return Secret(word), nil
}

// ParseMessageAESKey reads an EncodingAESKey.
func ParseMessageAESKey(text []byte) (Secret, error) {
	word := strings.TrimSpace(string(text))
	if raw, err := base64.StdEncoding.DecodeString(word + "="); len(word) != aesKeyCharacters || err != nil || len(raw) != 32 {
		return "", fmt.Errorf("it must hold the EncodingAESKey of the app: %d letters and digits, got %d characters", aesKeyCharacters, len(word))
	}
	return Secret(word), nil
}
