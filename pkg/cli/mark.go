package cli

import "strings"

// mark says at one glance how something stands.
type mark int

const (
	markOK mark = iota
	markWarn
	markFail
	markSkipped
)

// mark is one character where the terminal has it, else a word.
func (c *commandLine) mark(m mark) string {
	signs := [...]string{markOK: "✓", markWarn: "!", markFail: "✗", markSkipped: "–"}
	if !c.unicode() {
		signs = [...]string{markOK: "ok", markWarn: "warn", markFail: "FAIL", markSkipped: "-"}
	}
	return signs[m]
}

// unicode is what the locale says, by the variables of POSIX in their order.
// Without any of them, as in most containers, terminals understand UTF-8.
func (c *commandLine) unicode() bool {
	for _, name := range []string{"LC_ALL", "LC_CTYPE", "LANG"} {
		if locale, _ := c.Lookup(name); locale != "" {
			locale = strings.ToLower(locale)
			return strings.Contains(locale, "utf-8") || strings.Contains(locale, "utf8")
		}
	}
	return true
}
