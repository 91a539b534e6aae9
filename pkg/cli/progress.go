package cli

import (
	"fmt"
	"time"

	"github.com/jedib0t/go-pretty/v6/progress"
)

// progressEvery is how often a terminal is drawn anew.
const progressEvery = 100 * time.Millisecond

// progressed is work that is shown.
type progressed interface {
	begun() int // so many were asked for
	atEnd() int // so many of them need nothing more
	states() string
}

// shownProgress tells people how far the work is.
type shownProgress interface {
	at(p progressed)    // as often as there is news
	chunk(p progressed) // after each chunk
	end()               // may be called twice
}

// progress is a bar at a terminal and lines elsewhere; a program that wants a
// document is told nothing.
func (c *commandLine) progress(doing string, total int) shownProgress {
	switch {
	case c.json || total == 0:
		return silent{}
	case c.Terminal:
		return c.bar(doing, total)
	}
	return lines{c, total}
}

type silent struct{}

func (silent) at(progressed)    {}
func (silent) chunk(progressed) {}
func (silent) end()             {}

type lines struct {
	c     *commandLine
	total int
}

func (lines) at(progressed) {}
func (l lines) chunk(p progressed) {
	l.c.tell(fmt.Sprintf("%d of %d: %s\n", p.begun(), l.total, p.states()))
}
func (lines) end() {}

type bar struct {
	tracker *progress.Tracker
	ended   chan struct{}
}

func (c *commandLine) bar(doing string, total int) *bar {
	w := progress.NewWriter()
	w.SetOutputWriter(c.Stdout) // it is the terminal
	w.SetUpdateFrequency(progressEvery)
	w.SetAutoStop(true)
	w.Style().Visibility.Time, w.Style().Visibility.Percentage = false, false
	w.Style().Options.DoneString = "ended" // it may have been stopped
	b := &bar{&progress.Tracker{Message: doing, Total: int64(total)}, make(chan struct{})}
	w.AppendTracker(b.tracker)
	go func() {
		defer close(b.ended)
		w.Render()
	}()
	return b
}

func (b *bar) at(p progressed) {
	b.tracker.UpdateMessage(p.states())
	b.tracker.SetValue(int64(p.atEnd()))
}

func (b *bar) chunk(p progressed) { b.at(p) }

// end leaves the bar as it is; what follows is written below it.
func (b *bar) end() {
	b.tracker.MarkAsDone()
	<-b.ended
}
