package cli

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/fenflow/fenflow/pkg/pay"
	"github.com/fenflow/fenflow/pkg/problem"
)

// replayed is what became of the letters: the document of --json.
type replayed struct {
	Requested int          `json:"requested"`
	Resolved  int          `json:"resolved"`
	Open      []openLetter `json:"open"`                // again, and why
	Waiting   []string     `json:"waiting"`             // not at an end when the command ended
	Discarded []string     `json:"discarded,omitempty"` // by somebody else meanwhile

	stopped      int // letters that were not asked for
	stoppedEarly bool
}

type openLetter struct {
	DeliveryID string `json:"delivery_id"`
	Reason     string `json:"reason"`
	Detail     string `json:"detail"`
}

func newReplayed() *replayed { return &replayed{Open: []openLetter{}, Waiting: []string{}} }

// add counts letters as they were seen last.
func (r *replayed) add(letters []followed) {
	for _, l := range letters {
		id := l.letter.DeliveryID
		r.Requested++
		switch state := pay.LetterState(l.letter.State); {
		case state == pay.LetterResolved:
			r.Resolved++
		case state == pay.LetterDiscarded:
			r.Discarded = append(r.Discarded, id)
		case state == pay.LetterOpen && l.ended:
			r.Open = append(r.Open, openLetter{id, string(l.letter.Reason), l.letter.Detail})
		default:
			r.Waiting = append(r.Waiting, id)
		}
	}
}

// stop notes that so many letters were not asked for.
func (r *replayed) stop(left int) { r.stopped, r.stoppedEarly = left, true }

// with is r and the letters that are on their way.
func (r *replayed) with(letters []followed) *replayed {
	sum := *r
	sum.Open, sum.Waiting, sum.Discarded = slices.Clone(r.Open), slices.Clone(r.Waiting), slices.Clone(r.Discarded)
	sum.add(letters)
	return &sum
}

func (r *replayed) exit() int {
	switch {
	case len(r.Open) > 0 || len(r.Discarded) > 0:
		return problem.ExitRefused
	case len(r.Waiting) > 0 || r.stopped > 0:
		return problem.ExitUnavailable
	}
	return problem.ExitOK
}

func (r *replayed) begun() int { return r.Requested }
func (r *replayed) atEnd() int { return r.Requested - len(r.Waiting) }

func (r *replayed) states() string {
	parts := []string{fmt.Sprintf("%d resolved", r.Resolved), fmt.Sprintf("%d open again", len(r.Open)), fmt.Sprintf("%d waiting", len(r.Waiting))}
	if len(r.Discarded) > 0 {
		parts = append(parts, fmt.Sprintf("%d discarded meanwhile", len(r.Discarded)))
	}
	return strings.Join(parts, ", ")
}

func (c *commandLine) replayedText(r *replayed) string {
	if r.Requested == 0 && r.stopped == 0 {
		return "No open dead letter that can be replayed is like that.\n"
	}
	text := counted(r.Requested, "dead letter") + ": " + r.states() + ".\n"
	if len(r.Open) > 0 {
		text += "\n" + c.grid([]string{"OPEN AGAIN", "COUNT", "FOR EXAMPLE", "DETAIL"}, causes(r.Open)...)
	}
	if len(r.Waiting) > 0 {
		text += "\nWhat waits goes on by itself where a worker runs: `fenflow dead-letter ls --state waiting` shows it.\n"
	}
	if r.stoppedEarly {
		text += "\nStopped; " + counted(r.stopped, "dead letter") + " more had not been asked for. The same command can be run again.\n"
	}
	return text
}

// causes are one row for each reason, the most frequent first.
func causes(letters []openLetter) [][]cell {
	byReason := map[string][]openLetter{}
	for _, l := range letters {
		byReason[l.Reason] = append(byReason[l.Reason], l)
	}
	var groups [][]openLetter
	for _, group := range byReason {
		groups = append(groups, group)
	}
	slices.SortFunc(groups, func(a, b []openLetter) int {
		return cmp.Or(len(b)-len(a), strings.Compare(a[0].Reason, b[0].Reason))
	})
	var rows [][]cell
	for _, group := range groups {
		rows = append(rows, []cell{{group[0].Reason}, {strconv.Itoa(len(group))}, {group[0].DeliveryID}, {group[0].Detail}})
	}
	return rows
}

func worded[T ~string](reasons []T) string {
	words := make([]string, len(reasons))
	for i, r := range reasons {
		words[i] = string(r)
	}
	return strings.Join(words, ", ")
}
