package doctor

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"time"
)

const (
	// checkWithin bounds each check, whether or not it looks at its context.
	checkWithin = 5 * time.Second
	// examineWithin bounds all of them: chains of checks are three long at most.
	examineWithin = 20 * time.Second
)

// check looks at one thing.
type check struct {
	name    string // group and word, such as nats.user
	subject string
	needs   []string // ids of checks without which there is nothing to look at
	look    func(ctx context.Context) []outcome
}

func (c check) id() string {
	if c.subject == "" {
		return c.name
	}
	return c.name + "/" + c.subject
}

// group is the first part of the name.
func (c check) group() string {
	group, _, _ := strings.Cut(c.name, ".")
	return group
}

// patient is one check on its way.
type patient struct {
	check

	done     chan struct{} // closed once outcomes is written
	outcomes []outcome
}

// run carries out all checks, at the same time but for those that need another,
// and gives their findings in the order of the checks.
func run(ctx context.Context, checks []check) []Finding {
	ctx, cancel := context.WithTimeout(ctx, examineWithin)
	defer cancel()
	all := make([]*patient, len(checks))
	byID := map[string]*patient{}
	for i, c := range checks {
		all[i] = &patient{check: c, done: make(chan struct{})}
		byID[c.id()] = all[i]
	}
	var wg sync.WaitGroup
	for _, p := range all {
		wg.Go(func() {
			defer close(p.done)
			if because := p.wait(byID); because != "" {
				p.outcomes = skipped("%s", because)
				return
			}
			p.outcomes = p.ask(ctx)
		})
	}
	wg.Wait()
	var found []Finding
	for _, p := range all {
		for _, o := range p.outcomes {
			found = append(found, Finding{p.group(), p.name, p.subject, o.verdict, o.detail, o.fix})
		}
	}
	return found
}

// wait is over when all needs have been looked at, and says why there is nothing
// to look at, if so. A need that is not planned is not needed.
func (p *patient) wait(byID map[string]*patient) (because string) {
	for _, id := range p.needs {
		need := byID[id]
		if need == nil {
			continue
		}
		<-need.done
		for _, o := range need.outcomes {
			switch {
			case because != "":
			case o.verdict == Fail:
				because = "not looked at, because " + id + " failed"
			case o.verdict == Skipped:
				because = "not looked at, because " + id + " was not"
			}
		}
	}
	return because
}

// ask gives the check its time and no more.
func (p *patient) ask(ctx context.Context) []outcome {
	ctx, cancel := context.WithTimeout(ctx, checkWithin)
	defer cancel()
	answer := make(chan []outcome, 1) // a late answer is dropped
	go func() {
		defer func() {
			if v := recover(); v != nil { // its value may hold anything
				answer <- fail("Report it: this is a fault of fenflow's.", "the check panicked (%T)", v)
			}
		}()
		answer <- p.look(ctx)
	}()
	select {
	case outcomes := <-answer:
		return outcomes
	case <-ctx.Done():
		return fail("Look whether it is overloaded, frozen, or behind a firewall that drops without a word.", "no answer within %s", checkWithin)
	}
}

// days rounds down: what ends within a day has none left.
func days(d time.Duration) int { return int(d / (24 * time.Hour)) }

// skew judges a clock against ours, which stood at ours when theirs was read,
// give or take blur: half of what the question took. Only what is certain counts.
func skew(theirs, ours time.Time, blur, warnAt, failAt time.Duration, whose, why string) []outcome {
	off := theirs.Sub(ours)
	way := "ahead of"
	if off < 0 {
		off, way = -off, "behind"
	}
	off = max(off-blur, 0)
	said := fmt.Sprintf("%s is %s %s this machine's", whose, off.Round(time.Millisecond), way)
	fix := "Have both machines follow NTP (`timedatectl`, `chronyc tracking`). " + why
	switch {
	case off >= failAt:
		return fail(fix, "%s", said)
	case off >= warnAt:
		return warn(fix, "%s", said)
	}
	return ok("%s is within %s of this machine's", whose, warnAt)
}
