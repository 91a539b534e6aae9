package cli

import (
	"fmt"
	"strings"
	"time"
	"unicode"

	pretty "github.com/jedib0t/go-pretty/v6/table"
	"github.com/jedib0t/go-pretty/v6/text"

	"github.com/fenflow/fenflow/pkg/pay"
)

// screenColumns is how wide tables become at most, in the columns of a
// terminal; minLastColumn is what their last column has at least.
const (
	screenColumns = 100
	minLastColumn = 30
)

// columnGap stands between columns.
const columnGap = 2

// cell is one entry of a table: parts that stay whole where a line is broken.
type cell []string

// grid lays out rows under a head. Only the last column is broken into lines.
// What comes from outside is made plain: it may have been written by a forger.
func (c *commandLine) grid(head []string, rows ...[]cell) string {
	columns := 0
	for _, row := range rows {
		columns = max(columns, len(row))
	}
	room := screenColumns
	for i := range columns - 1 {
		width := 0
		if head != nil {
			width = len(head[i])
		}
		for _, row := range rows {
			width = max(width, text.StringWidthWithoutEscSequences(row[i].line()))
		}
		room -= width + columnGap
	}
	t := pretty.NewWriter()
	t.SetStyle(plainStyle())
	if head != nil {
		t.AppendRow(c.tableRow(head, text.Bold))
	}
	for _, row := range rows {
		out := make(pretty.Row, len(row))
		for i, one := range row {
			out[i] = c.coloured(one.line())
			if i == len(row)-1 {
				out[i] = c.coloured(strings.Join(c.lines(one, max(room, minLastColumn)), "\n"))
			}
		}
		t.AppendRow(out)
	}
	return withoutTrailingSpace(t.Render())
}

func (c *commandLine) tableRow(words []string, colour text.Color) pretty.Row {
	row := make(pretty.Row, len(words))
	for i, w := range words {
		row[i] = c.paint(w, colour)
	}
	return row
}

func plainStyle() pretty.Style {
	style := pretty.StyleDefault
	style.Box = pretty.BoxStyle{PaddingRight: strings.Repeat(" ", columnGap)}
	style.Options = pretty.OptionsNoBordersAndSeparators
	return style
}

func withoutTrailingSpace(table string) string {
	lines := strings.Split(table, "\n")
	for i := range lines {
		lines[i] = strings.TrimRight(lines[i], " ")
	}
	return strings.Join(lines, "\n") + "\n"
}

func (one cell) line() string { return plain(strings.Join(one.said(), ", ")) }

func (one cell) said() []string {
	var parts []string
	for _, p := range one {
		if p != "" {
			parts = append(parts, p)
		}
	}
	return parts
}

// lines breaks a cell between its parts where that suffices, else between
// words. A screen that is too narrow for a word shows it in pieces; a pipe gets
// it whole, because somebody looks for it there.
func (c *commandLine) lines(one cell, width int) []string {
	var lines []string
	parts := one.said()
	for i, p := range parts {
		p = plain(p)
		if i < len(parts)-1 {
			p += ","
		}
		if last := len(lines) - 1; last >= 0 && text.StringWidth(lines[last])+1+text.StringWidth(p) <= width {
			lines[last] += " " + p
			continue
		}
		lines = append(lines, c.wrap(p, width)...)
	}
	for i := range lines {
		lines[i] = strings.TrimSpace(lines[i])
	}
	return lines
}

func (c *commandLine) wrap(p string, width int) []string {
	if c.Terminal {
		return strings.Split(strings.TrimRight(text.WrapSoft(p, width), " "), "\n")
	}
	var lines []string
	for _, word := range strings.Fields(p) {
		if last := len(lines) - 1; last >= 0 && text.StringWidth(lines[last])+1+text.StringWidth(word) <= width {
			lines[last] += " " + word
			continue
		}
		lines = append(lines, word)
	}
	return lines
}

// one is a cell of one part.
func one[T ~string](part T) cell { return cell{string(part)} }

// facts are rows of a name and what there is to say; those with nothing to say
// are left out.
func (c *commandLine) facts(rows ...[]cell) string {
	var kept [][]cell
	for _, row := range rows {
		if len(row[1].said()) > 0 {
			kept = append(kept, row)
		}
	}
	return c.grid(nil, kept...)
}

func fact(name string, parts ...string) []cell { return []cell{{name}, parts} }

// plain makes a text harmless at a terminal and keeps it on one line: what does
// not print, such as an escape sequence, shows as what it is.
func plain(s string) string {
	if !strings.ContainsFunc(s, func(r rune) bool { return !unicode.IsPrint(r) }) {
		return s
	}
	var b strings.Builder
	for _, r := range s {
		switch {
		case unicode.IsPrint(r):
			b.WriteRune(r)
		case r <= unicode.MaxLatin1:
			fmt.Fprintf(&b, `\x%02x`, r)
		default:
			fmt.Fprintf(&b, `\u%04x`, r)
		}
	}
	return b.String()
}

func (c *commandLine) paint(s string, colour text.Color) string {
	if off, _ := c.Lookup("NO_COLOR"); off != "" || !c.Terminal || s == "" {
		return s
	}
	return colour.EscapeSeq() + s + text.Reset.EscapeSeq()
}

// coloured marks the words that call for a second look.
func (c *commandLine) coloured(s string) string {
	switch s {
	case string(pay.OrderPaid), string(pay.RefundSucceeded), string(pay.LetterResolved), "✓":
		return c.paint(s, text.FgGreen)
	case string(pay.OrderFailed), string(pay.RefundAbnormal), string(pay.LetterOpen), "✗":
		return c.paint(s, text.FgRed)
	case string(pay.LetterWaiting), string(pay.LetterReplaying), "!":
		return c.paint(s, text.FgYellow)
	}
	return s
}

func instant(at time.Time) string { return at.UTC().Format("2006-01-02 15:04:05Z") }

// fine is for what happens in quick succession; its column is headed UTC.
func fine(at time.Time) string { return at.UTC().Format("2006-01-02 15:04:05.000") }

// dated says an instant with the word before it; nothing, where there is none.
func dated(word string, at *time.Time) string {
	if at == nil {
		return ""
	}
	return word + " " + instant(*at)
}

func labelled(word string, optional *string) string {
	if optional == nil || *optional == "" {
		return ""
	}
	return word + " " + *optional
}

func amount(fen int64, currency string) string {
	return strings.TrimSpace(pay.Fen(fen).String() + " " + currency)
}

func counted(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return fmt.Sprintf("%d %ss", n, noun)
}

// span is an age with the two units that matter.
func span(d time.Duration) string {
	d = max(d, 0).Truncate(time.Second)
	days, rest := int(d/(24*time.Hour)), d%(24*time.Hour)
	hours, minutes, seconds := int(rest/time.Hour), int(rest%time.Hour/time.Minute), int(rest%time.Minute/time.Second)
	switch {
	case days > 0:
		return fmt.Sprintf("%d d %d h", days, hours)
	case hours > 0:
		return fmt.Sprintf("%d h %d min", hours, minutes)
	case minutes > 0:
		return fmt.Sprintf("%d min %d s", minutes, seconds)
	}
	return fmt.Sprintf("%d s", seconds)
}
