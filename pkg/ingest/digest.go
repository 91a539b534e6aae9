package ingest

import (
	"crypto/sha256"
	"encoding/hex"
	"strings"
)

// meaning is one field of what a command means, with its value.
type meaning struct{ name, value string }

// digestOf is the hex SHA-256 of what a command means: one line "name:value" for
// each field in a fixed order, absent ones empty, times in UTC. The first line
// names the command. No value can hold a line feed, so no two commands share a text.
func digestOf(fields []meaning) string {
	var text strings.Builder
	for _, f := range fields {
		text.WriteString(f.name + ":" + f.value + "\n")
	}
	sum := sha256.Sum256([]byte(text.String()))
	return hex.EncodeToString(sum[:])
}
