package cli

import (
	"fmt"
	"time"

	"github.com/jedib0t/go-pretty/v6/progress"
)

// progressEvery is how often a terminal is drawn anew.
const progressEvery = 100 * time.Millisecond

// shownProgress tells people how far a replay is.
type shownProgress interface {
	at(r *replayed)    // as often as there is news
	chunk(r *replayed) // after each chunk
	end()              // may be called twice
}

// progress is a bar at a terminal and lines elsewhere; a program that wants a
// document is told nothing.
func (c *commandLine) progress(total int) shownProgress {
	switch {
	case c.json || total == 0:
		return silent{}
	case c.Terminal:
		return c.bar(total)
	}
	return lines{c, total}
}

type silent struct{}

func (silent) at(*replayed)    {}
func (silent) chunk(*replayed) {}
func (silent) end()            {}

type lines struct {
	c     *commandLine
	total int
}

func (lines) at(*replayed) {}
func (l lines) chunk(r *replayed) {
	l.c.tell(fmt.Sprintf("%d of %d: %s\n", r.Requested, l.total, r.states()))
}
func (lines) end() {}

type bar struct {
	tracker *progress.Tracker
	ended   chan struct{}
}

func (c *commandLine) bar(total int) *bar {
	w := progress.NewWriter()
	w.SetOutputWriter(c.Stdout) // it is the terminal
	w.SetUpdateFrequency(progressEvery)
	w.SetAutoStop(true)
	w.Style().Visibility.Time, w.Style().Visibility.Percentage = false, false
	w.Style().Options.DoneString = "ended" // it may have been stopped
	b := &bar{&progress.Tracker{Message: "replaying", Total: int64(total)}, make(chan struct{})}
	w.AppendTracker(b.tracker)
	go func() {
		defer close(b.ended)
		w.Render()
	}()
	return b
}

func (b *bar) at(r *replayed) {
	b.tracker.UpdateMessage(r.states())
	b.tracker.SetValue(int64(r.Requested - len(r.Waiting)))
}

func (b *bar) chunk(r *replayed) { b.at(r) }

// end leaves the bar as it is; what follows is written below it.
func (b *bar) end() {
	b.tracker.MarkAsDone()
	<-b.ended
}
