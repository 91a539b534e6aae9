package wechat

import (
	"crypto/aes"
	"encoding/base64"
	"encoding/json"
	"errors"

	"github.com/silenceper/wechat/v2/util"

	"github.com/fenflow/fenflow/pkg/merchant"
	"github.com/fenflow/fenflow/pkg/pay"
)

// keyNone is Opened.Key of a message that came in plain mode.
const keyNone = -1

// Opened is a message that WeChat signed, and how it came: the reply goes the
// same way.
type Opened struct {
	Message Message
	Key     int  // which of PushKeys.AESKeys opened it; -1: none, plain mode
	JSON    bool // a mini program's message in JSON
}

// OpenMessage checks and reads one pushed message.
//
// In safe mode msg_signature is checked first, then the keys are tried in
// turn, then the appid inside is compared; what stands beside the encrypted
// part (compatible mode) is not looked at. An app with AES keys takes no plain
// message: the plain signature does not cover the body.
func OpenMessage(keys PushKeys, q PushQuery, body []byte) (Opened, error) {
	if len(body) > maxMessageBytes {
		return Opened{}, reject(RejectMalformed, "the message has %d bytes, and at most %d are read", len(body), maxMessageBytes)
	}
	text, key := body, keyNone
	if q.Encrypted || len(keys.AESKeys) > 0 {
		var err error
		if text, key, err = openSafe(keys, q, body); err != nil {
			return Opened{}, err
		}
	} else if err := VerifyURL(keys.Token, q.Timestamp, q.Nonce, q.Signature); err != nil {
		return Opened{}, err
	}
	message, err := ParseMessage(text)
	if err != nil {
		return Opened{}, err
	}
	return Opened{Message: message, Key: key, JSON: isJSON(body)}, nil
}

func openSafe(keys PushKeys, q PushQuery, body []byte) ([]byte, int, error) {
	switch {
	case !q.Encrypted:
		return nil, 0, reject(RejectSignature, "the message is not encrypted, and this app has AES keys: choose safe mode in WeChat's console, or remove message_aes_key_files")
	case len(keys.AESKeys) == 0:
		return nil, 0, reject(RejectDecrypt, "the message is encrypted, and this app has no AES key: look at message_aes_key_files")
	case keys.Token.Reveal() == "":
		return nil, 0, reject(RejectSignature, "this app has no message token: look at message_token_file")
	}
	fields, err := fieldsOf(body)
	if err != nil {
		return nil, 0, err
	}
	encrypted := fields["Encrypt"]
	if encrypted == "" {
		return nil, 0, reject(RejectMalformed, "the message has no Encrypt")
	}
	if !sameText(sortedSignature(keys.Token.Reveal(), q.Timestamp, q.Nonce, encrypted), q.MsgSignature) {
		return nil, 0, reject(RejectSignature, "msg_signature was not made with this app's message token")
	}
	return decryptMessage(keys, encrypted)
}

// decryptMessage tries every key: while an EncodingAESKey changes, WeChat sends
// with the old one for a while.
func decryptMessage(keys PushKeys, encrypted string) ([]byte, int, error) {
	sealed, err := base64.StdEncoding.DecodeString(encrypted)
	if err != nil || len(sealed)%aes.BlockSize != 0 {
		return nil, 0, reject(RejectMalformed, "Encrypt is not base64 of whole blocks")
	}
	foreign := false
	for i, encoded := range keys.AESKeys {
		key, err := messageKey(encoded)
		if err != nil {
			return nil, 0, err
		}
		_, text, appid, err := util.AESDecryptMsg(sealed, key)
		switch {
		case err != nil: // this key does not fit
		case sameText(string(appid), string(keys.AppID)):
			return text, i, nil
		default:
			foreign = true
		}
	}
	if foreign {
		return nil, 0, reject(RejectForeign, "the message is of another app")
	}
	return nil, 0, reject(RejectDecrypt, "none of this app's %d AES keys opens the message: keep the previous key as the second of message_aes_key_files", len(keys.AESKeys))
}

// messageKey decodes an EncodingAESKey: 32 bytes in base64 without its `=`.
func messageKey(encoded merchant.Secret) ([]byte, error) {
	key, err := base64.StdEncoding.DecodeString(encoded.Reveal() + "=")
	if err != nil || len(key) != 32 {
		return nil, reject(RejectDecrypt, "an AES key of this app is not 43 characters of base64: look at message_aes_key_files")
	}
	return key, nil
}

// SealReply makes an answer fit to send: unchanged to a message that came
// plain, otherwise encrypted with the key that opened the message. Random are
// 16 bytes from a random source.
func SealReply(keys PushKeys, o Opened, reply []byte, timestamp, nonce string, random []byte) ([]byte, error) {
	if o.Key == keyNone {
		return reply, nil
	}
	if o.Key < 0 || o.Key >= len(keys.AESKeys) || len(random) != aes.BlockSize {
		return nil, errors.New("seal reply: it needs the key that opened the message, and 16 random bytes")
	}
	encrypted, err := encryptMessage(keys.AppID, keys.AESKeys[o.Key], reply, random)
	if err != nil {
		return nil, err
	}
	signature := sortedSignature(keys.Token.Reveal(), timestamp, nonce, encrypted)
	if o.JSON {
		return json.Marshal(map[string]string{"Encrypt": encrypted, "MsgSignature": signature, "TimeStamp": timestamp, "Nonce": nonce})
	}
	var x xmlReply
	x.text("Encrypt", encrypted)
	x.text("MsgSignature", signature)
	x.text("TimeStamp", timestamp)
	x.text("Nonce", nonce)
	return x.bytes(), nil
}

func encryptMessage(appid pay.AppID, encoded merchant.Secret, text, random []byte) (string, error) {
	key, err := messageKey(encoded)
	if err != nil {
		return "", err
	}
	return base64.StdEncoding.EncodeToString(util.AESEncryptMsg(random, text, string(appid), key)), nil
}
