package weixin

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"strings"
)

// Sizes of safe mode (WeChat's message encryption document). Its PKCS#7 blocks have
// 32 bytes, twice those of AES.
const (
	messageBlock  = 32
	messagePrefix = 16
	lengthBytes   = 4
)

// signParts is SHA-1 over the sorted parts, as WeChat signs addresses and messages.
func signParts(parts ...string) string {
	sorted := slices.Clone(parts)
	slices.Sort(sorted)
	return sha1Hex(strings.Join(sorted, ""))
}

func messageKey(text string) ([]byte, error) {
	key, err := base64.StdEncoding.DecodeString(text + "=")
	if err != nil || len(key) != messageBlock {
		return nil, errors.New("an EncodingAESKey has 43 characters of base64")
	}
	return key, nil
}

// sealMessage encrypts sixteen random characters, the length, the message and the appid.
func sealMessage(aesKey, appid, prefix string, message []byte) (string, error) {
	key, err := messageKey(aesKey)
	if err != nil {
		return "", err
	}
	block, err := aes.NewCipher(key)
	if err != nil {
		return "", fmt.Errorf("make cipher: %w", err)
	}
	var plain bytes.Buffer
	plain.WriteString(prefix)
	plain.Write(binary.BigEndian.AppendUint32(nil, uint32(len(message))))
	plain.Write(message)
	plain.WriteString(appid)
	padded := pad(plain.Bytes(), messageBlock)
	cipher.NewCBCEncrypter(block, key[:aesBlock]).CryptBlocks(padded, padded)
	return base64.StdEncoding.EncodeToString(padded), nil
}

// OpenMessage decrypts a message or a reply of safe mode, for one appid.
func OpenMessage(aesKey, appid, text string) ([]byte, error) {
	key, err := messageKey(aesKey)
	if err != nil {
		return nil, err
	}
	sealed, err := base64.StdEncoding.DecodeString(text)
	if err != nil || len(sealed) == 0 || len(sealed)%aesBlock != 0 {
		return nil, errors.New("Encrypt is not base64 of whole blocks") //nolint:staticcheck // the element's name
	}
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, fmt.Errorf("make cipher: %w", err)
	}
	cipher.NewCBCDecrypter(block, key[:aesBlock]).CryptBlocks(sealed, sealed)
	plain, err := unpad(sealed)
	if err != nil {
		return nil, err
	}
	if len(plain) < messagePrefix+lengthBytes {
		return nil, errors.New("the decrypted text is too short")
	}
	length, rest := int(binary.BigEndian.Uint32(plain[messagePrefix:])), plain[messagePrefix+lengthBytes:]
	if length > len(rest) {
		return nil, errors.New("the length inside the decrypted text is wrong")
	}
	if string(rest[length:]) != appid {
		return nil, fmt.Errorf("the appid inside the decrypted text is %q", rest[length:])
	}
	return rest[:length], nil
}

// unpad refuses padding that the 32-byte blocks would not have.
func unpad(plain []byte) ([]byte, error) {
	n := int(plain[len(plain)-1])
	if len(plain)%messageBlock != 0 || n < 1 || n > messageBlock ||
		!bytes.Equal(plain[len(plain)-n:], bytes.Repeat([]byte{byte(n)}, n)) {
		return nil, errors.New("the padding is not PKCS#7 with blocks of 32 bytes, or the key is another one")
	}
	return plain[:len(plain)-n], nil
}
