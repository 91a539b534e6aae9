package request

import (
	"crypto/sha256"
	"encoding/hex"
	"strings"
)

// Meaning is one field of what a command means, with its value.
type Meaning struct{ Name, Value string }

// Digest is the hex SHA-256 of what a command means: one line "name:value" for
// each field in a fixed order, absent ones empty, times in UTC. The first line
// names the command. No value can hold a line feed, so no two commands share a text.
func Digest(fields ...Meaning) string {
	var text strings.Builder
	for _, f := range fields {
		text.WriteString(f.Name + ":" + f.Value + "\n")
	}
	sum := sha256.Sum256([]byte(text.String()))
	return hex.EncodeToString(sum[:])
}
