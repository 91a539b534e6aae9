package wechat

import (
	"crypto/sha1"
	"crypto/subtle"
	"encoding/hex"
	"slices"
	"strings"
)

// sortedSignature is WeChat's signature of messages: SHA-1 over the sorted
// texts, one after another.
func sortedSignature(texts ...string) string {
	slices.Sort(texts)
	return sha1Hex(strings.Join(texts, ""))
}

// sha1Hex: WeChat's older protocols sign with SHA-1 and nothing else.
func sha1Hex(text string) string {
	sum := sha1.Sum([]byte(text))
	return hex.EncodeToString(sum[:])
}

// sameText compares in constant time, so that a guess learns nothing.
func sameText(a, b string) bool { return subtle.ConstantTimeCompare([]byte(a), []byte(b)) == 1 }
