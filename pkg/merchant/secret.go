package merchant

import (
	"fmt"
	"log/slog"
)

const redacted = "[redacted]"

// Secret is text that must not be printed. Everything that formats or encodes
// it writes "[redacted]"; Reveal is the one way to the text itself.
type Secret string

// Reveal returns the text. Each call is a place to look at in a review.
func (s Secret) Reveal() string { return string(s) }

// String hides the text.
func (Secret) String() string { return redacted }

// GoString hides the text from %#v.
func (Secret) GoString() string { return redacted }

// Format hides the text from every verb.
func (Secret) Format(f fmt.State, _ rune) { _, _ = f.Write([]byte(redacted)) }

// LogValue hides the text from slog.
func (Secret) LogValue() slog.Value { return slog.StringValue(redacted) }

// MarshalText hides the text from encoders that ask for text, YAML's among them.
func (Secret) MarshalText() ([]byte, error) { return []byte(redacted), nil }

// MarshalJSON hides the text from JSON.
func (Secret) MarshalJSON() ([]byte, error) { return []byte(`"` + redacted + `"`), nil }
