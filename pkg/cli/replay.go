package cli

import (
	"context"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/fenflow/fenflow/pkg/operatorapi"
	"github.com/fenflow/fenflow/pkg/pay"
	"github.com/fenflow/fenflow/pkg/problem"
)

// Bounds of a replay. maxReplay and maxListedIDs are the API's own.
const (
	maxReplay    = 500
	maxListedIDs = 100
	replayChunk  = 50 // letters in one act: small enough to stop between two
)

const replayLong = `Replay dead letters, for a reason: their own bytes are settled again.

Either the letters that are named are replayed, or the oldest open ones that --where and --since leave. Those are
counted first; at a terminal you are asked, elsewhere --yes is required. Each letter is followed until it is resolved
or open again, for a minute at most. Ctrl-C stops; what was begun goes on by itself, and the same command can simply be
run again: what is settled is never settled twice.

With --dry-run it says what would change, row by row, and changes nothing. What that prints with --json can be given to
--expect: exactly these letters are replayed then, in that order and fifty at a time, and it stops before the first
fifty among which an order has moved since.

Exit codes: 0 all are resolved (--dry-run: it could be told; --expect: all is done), 5 some opened again, were
discarded, or you declined (--expect: some are letters still, or an order has moved), 7 some wait still, or it was
stopped (--dry-run: somebody holds a row; --expect: some were left alone)`

// replayFlags say which letters, and why.
type replayFlags struct {
	where  map[string]string
	since  string
	limit  int
	why    string
	yes    bool
	dry    bool
	expect string
}

func (c *commandLine) letterReplay() *cobra.Command {
	var f replayFlags
	replay := c.asks("replay [ID...]", "Replay dead letters, for a reason, and follow what becomes of them", cobra.ArbitraryArgs, func(ctx context.Context, api remote, args []string) (answer, error) {
		var err error
		if f.why, err = actReason(f.why, f.dry); err != nil {
			return answer{}, err
		}
		if f.expect != "" {
			if len(args) > 0 {
				return answer{}, problem.New(problem.Usage, "name dead letters, or give a dry run with --expect: not both")
			}
			return c.replayExpected(ctx, api, f.expect, f.why)
		}
		letters, err := c.meantLetters(ctx, api, &f, args)
		switch {
		case err != nil:
			return answer{}, err
		case letters != nil && len(letters) == 0:
			return c.noneOpen(ctx, api, &f)
		case f.dry:
			return c.rehearseLetters(ctx, api, letters)
		case letters == nil:
			return answer{document: newReplayed(), text: "Nothing was replayed.\n", exit: problem.ExitRefused}, nil
		}
		return c.replay(ctx, api, letters, f.why)
	})
	replay.Long = replayLong
	flags := replay.Flags()
	flags.StringToStringVar(&f.where, "where", nil, "the open ones with reason=…, mchid=…, or both: reason=unknown_order,mchid=1900000109")
	flags.StringVar(&f.since, "since", "", "with --where: only what failed first then or later: 2h or 3d ago, or an instant of RFC 3339")
	flags.IntVar(&f.limit, "limit", maxReplay, fmt.Sprintf("with --where: the oldest, at most so many, 1 to %d", maxReplay))
	flags.BoolVar(&f.yes, "yes", false, "with --where: do not ask")
	actFlags(replay, &f.why, &f.dry, &f.expect)
	for _, other := range []string{"where", "since", "limit"} {
		replay.MarkFlagsMutuallyExclusive("expect", other)
	}
	// It fails only where the flag is not there.
	_ = replay.RegisterFlagCompletionFunc("where", cobra.FixedCompletions(whereWords(), cobra.ShellCompDirectiveNoFileComp|cobra.ShellCompDirectiveNoSpace))
	return replay
}

// actFlags are those of every replay.
func actFlags(cmd *cobra.Command, why *string, dry *bool, expect *string) {
	cmd.Flags().StringVar(why, "reason", "", "why; it goes into the audit log")
	cmd.Flags().BoolVar(dry, "dry-run", false, "say what would change, and change nothing")
	cmd.Flags().StringVar(expect, "expect", "", "replay exactly what `FILE`, a document of --dry-run --json, shows, and stop at an order that has moved since; - is what is piped in")
	cmd.MarkFlagsMutuallyExclusive("dry-run", "expect")
}

// actReason is why something is done; a dry run does nothing.
func actReason(why string, dry bool) (string, error) {
	if dry {
		return "", nil
	}
	return theReason(why)
}

// meantLetters are the letters to replay: named ones as they are, chosen ones once
// somebody has said that they are meant. nil: they are not.
func (c *commandLine) meantLetters(ctx context.Context, api remote, f *replayFlags, args []string) ([]operatorapi.Letter, error) {
	if len(args) > 0 {
		if len(f.where) > 0 || f.since != "" {
			return nil, problem.New(problem.Usage, "name dead letters, or say --where with --since: not both")
		}
		return api.lettersOf(ctx, args)
	}
	letters, err := c.chosenLetters(ctx, api, f)
	if err != nil {
		return nil, err
	}
	if f.dry || len(letters.rows) == 0 { // of none, nothing is asked
		return append([]operatorapi.Letter{}, letters.rows...), nil
	}
	meant, err := c.meant(ctx, letters.count(), f.yes)
	if err != nil || !meant {
		return nil, err
	}
	return letters.rows, nil
}

func (c *commandLine) rehearseLetters(ctx context.Context, api remote, letters []operatorapi.Letter) (answer, error) {
	ids := make([]operatorapi.DeliveryID, len(letters))
	for i, l := range letters {
		var err error
		if ids[i], err = parseDeliveryID(l.DeliveryID); err != nil {
			return answer{}, err
		}
	}
	return c.rehearsed(ctx, api, ids, "dead letter")
}

// rehearsed is the answer of a dry run.
func (c *commandLine) rehearsed(ctx context.Context, api remote, ids []operatorapi.DeliveryID, noun string) (answer, error) {
	r, err := c.rehearse(ctx, api, ids)
	if err != nil {
		return answer{}, err
	}
	a := answer{document: r, text: c.rehearsalText(r, noun)}
	if r.Totals.Busy > 0 {
		a.exit = problem.ExitUnavailable
	}
	return a, nil
}

func whereWords() []string {
	words := []string{"mchid="}
	for _, reason := range pay.LetterReasons() {
		words = append(words, "reason="+string(reason))
	}
	return words
}

// lettersOf finds letters that were named, in that order. One that can never be
// replayed ends the command before anything is done.
func (r remote) lettersOf(ctx context.Context, args []string) ([]operatorapi.Letter, error) {
	var ids []operatorapi.DeliveryID
	for _, text := range args {
		id, err := parseDeliveryID(text)
		if err != nil {
			return nil, err
		}
		if !slices.Contains(ids, id) {
			ids = append(ids, id)
		}
	}
	if len(ids) > maxReplay {
		return nil, problem.Newf(problem.Usage, "%d dead letters are named; %d can be replayed at once", len(ids), maxReplay)
	}
	found, err := r.look(ctx, ids)
	if err != nil {
		return nil, err
	}
	letters := make([]operatorapi.Letter, 0, len(ids))
	for _, id := range ids {
		at := slices.IndexFunc(found, func(l operatorapi.Letter) bool { return l.DeliveryID == id.String() })
		switch {
		case at < 0:
			return nil, problem.New(problem.UnknownLetter, id.String())
		case !pay.DeliveryKind(found[at].Kind).Notification():
			return nil, problem.Newf(problem.NotReplayable, "%s is of kind %s", id, plain(found[at].Kind))
		case found[at].State == operatorapi.LetterState(pay.LetterDiscarded):
			return nil, problem.Newf(problem.LetterSettled, "%s is discarded", id)
		}
		letters = append(letters, found[at])
	}
	return letters, nil
}

// look lists letters in whatever state they are.
func (r remote) look(ctx context.Context, ids []operatorapi.DeliveryID) ([]operatorapi.Letter, error) {
	var letters []operatorapi.Letter
	for some := range slices.Chunk(ids, maxListedIDs) {
		found, _, err := document[operatorapi.LetterPage](r.ask(ctx)(operatorapi.NewListDeadLettersRequest(r.base(), &operatorapi.ListDeadLettersParams{DeliveryID: &some})))
		if err != nil {
			return nil, err
		}
		letters = append(letters, found.Letters...)
	}
	return letters, nil
}

// chosen are the letters that a filter leaves, and what is said of them.
type chosen struct {
	rows  []operatorapi.Letter
	total int // as many are like that; 0: just these
	said  string
}

func (c *commandLine) chosenLetters(ctx context.Context, api remote, f *replayFlags) (chosen, error) {
	params, err := f.params(c.now())
	if err != nil {
		return chosen{}, err
	}
	found, _, err := document[operatorapi.LetterPage](api.ask(ctx)(operatorapi.NewListDeadLettersRequest(api.base(), params)))
	if err != nil {
		return chosen{}, err
	}
	letters := chosen{said: f.said()}
	for _, l := range found.Letters {
		if pay.DeliveryKind(l.Kind).Notification() {
			letters.rows = append(letters.rows, l)
		}
	}
	if found.NextCursor != nil {
		letters.total, err = api.countIn(ctx, params, pay.LetterOpen)
	}
	return letters, err
}

func (f *replayFlags) params(now time.Time) (*operatorapi.ListDeadLettersParams, error) {
	if len(f.where) == 0 {
		return nil, problem.New(problem.Usage, "name dead letters, or say which with --where reason=…")
	}
	if f.limit < 1 || f.limit > maxReplay {
		return nil, problem.Newf(problem.Usage, "--limit %d: must be 1 to %d", f.limit, maxReplay)
	}
	for name, text := range f.where {
		switch {
		case name != "reason" && name != "mchid":
			return nil, problem.Newf(problem.Usage, "--where %s=…: dead letters are chosen by reason and mchid", name)
		case text == "":
			return nil, problem.Newf(problem.Usage, "--where %s=: is empty", name)
		}
	}
	if reason := f.where["reason"]; reason != "" && !slices.Contains(pay.LetterReasons(), pay.LetterReason(reason)) {
		return nil, problem.Newf(problem.Usage, "--where reason=%s: must be one of %s", reason, worded(pay.LetterReasons()))
	}
	since, err := parseSince(f.since, now)
	return &operatorapi.ListDeadLettersParams{
		Mchid: given[string](f.where["mchid"]), Reason: given[operatorapi.LetterReason](f.where["reason"]),
		State: new(operatorapi.LetterState(pay.LetterOpen)), Since: since, Limit: &f.limit,
	}, err
}

func (f *replayFlags) said() string {
	return strings.Join(cell{labelled("of reason", new(f.where["reason"])), labelled("of merchant", new(f.where["mchid"])), labelled("since", &f.since)}.said(), ", ")
}

// countIn counts the letters in a state that a filter leaves.
func (r remote) countIn(ctx context.Context, p *operatorapi.ListDeadLettersParams, state pay.LetterState) (int, error) {
	groups, _, err := document[operatorapi.LetterGroups](r.ask(ctx)(operatorapi.NewGroupDeadLettersRequest(r.base(), &operatorapi.GroupDeadLettersParams{Mchid: p.Mchid, Since: p.Since})))
	n := 0
	for _, g := range groups.Groups {
		if pay.LetterState(g.State) == state && (p.Reason == nil || g.Reason == *p.Reason) {
			n += g.Count
		}
	}
	return n, err
}

// noneOpen is the answer where a filter leaves nothing to replay. What waits is no
// part of a replay, but whoever looks for a letter must hear of it.
func (c *commandLine) noneOpen(ctx context.Context, api remote, f *replayFlags) (answer, error) {
	a := answer{document: newReplayed(), text: c.replayedText(newReplayed())}
	if f.dry {
		a = answer{document: newRehearsal(), text: c.rehearsalText(newRehearsal(), "dead letter")}
	}
	if c.json {
		return a, nil
	}
	params, err := f.params(c.now())
	if err != nil {
		return answer{}, err
	}
	waiting, err := api.countIn(ctx, params, pay.LetterWaiting)
	if err != nil {
		return answer{}, err
	}
	if waiting > 0 {
		a.text += fmt.Sprintf("No letter is open like that, but %d wait and are tried by themselves: `fenflow dead-letter ls --state waiting` shows them.\n", waiting)
	}
	return a, nil
}

// count says what would be replayed: "the oldest 500 of 1234 open dead letters, of reason …".
func (l chosen) count() string {
	text := counted(len(l.rows), "open dead letter")
	if l.total > len(l.rows) {
		text = fmt.Sprintf("the oldest %d of %s", len(l.rows), counted(l.total, "open dead letter"))
	}
	return text + ", " + plain(l.said)
}

// meant says what there is to replay and makes sure that it is meant.
func (c *commandLine) meant(ctx context.Context, count string, yes bool) (bool, error) {
	if yes {
		c.tell("Replaying " + count + ".\n")
		return true, nil
	}
	return c.confirmed(ctx, "Replay "+count+"?", "this would replay "+count+"; there is nobody to ask whether they are meant")
}

// tell is for people who look on; a program reads one document.
func (c *commandLine) tell(text string) {
	if !c.json {
		_, _ = io.WriteString(c.Stderr, text) // nobody is left to tell
	}
}
