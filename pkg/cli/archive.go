package cli

import (
	"bufio"
	"bytes"
	"context"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/fenflow/fenflow/pkg/operatorapi"
	"github.com/fenflow/fenflow/pkg/problem"
)

// Bounds of a replay from the archive. maxCounted is where the API stops counting.
const (
	usualArchived = 1_000
	maxArchived   = 100_000
	maxCounted    = 100_000
)

const archiveLong = `Replay archived notifications, for a reason: WeChat Pay's own messages are settled again, from their own bytes, by the
present code and configuration. What is in the books stays as it is; what was missed is made up for.

Either the notifications that are named are replayed, or those of --file, or the oldest ones that arrived since --since
and before --until. Those are counted first; at a terminal you are asked, elsewhere --yes is required. WeChat Pay's
answers to our calls are not replayed, nor is what was discarded. They go through a lane of their own, at its own speed,
and hold up nothing that is live. Ctrl-C stops; what was begun goes on by itself, and the last line says how to go on.

With --dry-run it says what would change, row by row, and changes nothing. What that prints with --json can be given to
--expect: exactly these notifications are replayed then, in that order and fifty at a time, and it stops before the
first fifty among which an order has moved since.

Exit codes: 0 all are settled (--dry-run: it could be told; --expect: all is done), 5 some are dead letters, or you
declined (--expect: an order has moved), 7 the lane is not through with them, or it was stopped (--dry-run: somebody
holds a row; --expect: some were left alone)`

// archiveFlags say which notifications, and why.
type archiveFlags struct {
	since, until, mchid, file string
	limit                     int
	why, expect               string
	yes, dry                  bool
}

func (c *commandLine) replayArchived() *cobra.Command {
	var f archiveFlags
	replay := c.asks("replay [ID...]", "Replay archived notifications, for a reason, in a lane of their own", cobra.ArbitraryArgs, func(ctx context.Context, api remote, args []string) (answer, error) {
		var err error
		if f.why, err = actReason(f.why, f.dry); err != nil {
			return answer{}, err
		}
		if err := f.oneWay(args); err != nil {
			return answer{}, err
		}
		if f.expect != "" {
			return c.replayExpected(ctx, api, f.expect, f.why)
		}
		picked, err := c.pickArchived(ctx, api, &f, args)
		switch {
		case err != nil:
			return answer{}, err
		case f.dry:
			return c.rehearsed(ctx, api, picked.ids, "notification")
		case len(picked.ids) == 0:
			return answer{document: newResettled(), text: "No archived notification is like that.\n"}, nil
		}
		meant, err := c.meant(ctx, picked.count(), f.yes || !picked.chosen)
		switch {
		case err != nil:
			return answer{}, err
		case !meant:
			return answer{document: newResettled(), text: "Nothing was replayed.\n", exit: problem.ExitRefused}, nil
		}
		return c.resettle(ctx, api, picked, f.why)
	})
	replay.Long = archiveLong
	flags := replay.Flags()
	flags.StringVar(&f.since, "since", "", "those that arrived then or later: 2h or 3d ago, or an instant of RFC 3339")
	flags.StringVar(&f.until, "until", "", "with --since: only those that arrived before: 1h ago, or an instant of RFC 3339")
	flags.StringVar(&f.mchid, "mchid", "", "with --since: only of this merchant")
	flags.IntVar(&f.limit, "limit", usualArchived, fmt.Sprintf("with --since: the oldest, at most so many, 1 to %d", maxArchived))
	flags.BoolVar(&f.yes, "yes", false, "with --since: do not ask")
	flags.StringVar(&f.file, "file", "", "those whose delivery ids are in `FILE`, one a line; - is what is piped in")
	actFlags(replay, &f.why, &f.dry, &f.expect)
	return replay
}

// oneWay refuses to choose in two ways at once, and in none.
func (f *archiveFlags) oneWay(args []string) error {
	ways := 0
	for _, way := range []bool{len(args) > 0, f.file != "", f.since != "", f.expect != ""} {
		if way {
			ways++
		}
	}
	switch {
	case ways == 0:
		return problem.New(problem.Usage, "say which: --since, delivery ids, --file or --expect")
	case ways > 1:
		return problem.New(problem.Usage, "choose in one way: --since, delivery ids, --file or --expect")
	case f.since == "" && (f.until != "" || f.mchid != ""):
		return problem.New(problem.Usage, "--until and --mchid go with --since")
	case f.limit < 1 || f.limit > maxArchived:
		return problem.Newf(problem.Usage, "--limit %d: must be 1 to %d", f.limit, maxArchived)
	}
	return nil
}

// picked are notifications to replay.
type picked struct {
	ids    []operatorapi.DeliveryID
	chosen bool // by a time, rather than by name
	total  int  // as many are like that
	said   string
}

func (p picked) count() string {
	text := counted(len(p.ids), "archived notification")
	switch {
	case p.total >= maxCounted:
		text = fmt.Sprintf("the oldest %d of %d or more archived notifications", len(p.ids), maxCounted)
	case p.total > len(p.ids):
		text = fmt.Sprintf("the oldest %d of %s", len(p.ids), counted(p.total, "archived notification"))
	}
	if p.said != "" {
		text += ", " + plain(p.said)
	}
	return text
}

func (c *commandLine) pickArchived(ctx context.Context, api remote, f *archiveFlags, args []string) (picked, error) {
	if f.since != "" {
		return c.archivedSince(ctx, api, f)
	}
	if f.file != "" {
		raw, err := c.input("--file", f.file)
		if err != nil {
			return picked{}, err
		}
		if args, err = linesOf(raw); err != nil {
			return picked{}, err
		}
	}
	if len(args) > maxArchived {
		return picked{}, problem.Newf(problem.Usage, "%d notifications are named; %d can be replayed at once", len(args), maxArchived)
	}
	var p picked
	seen := map[operatorapi.DeliveryID]bool{}
	for _, text := range args {
		id, err := parseDeliveryID(text)
		if err != nil {
			return picked{}, err
		}
		if !seen[id] {
			seen[id] = true
			p.ids = append(p.ids, id)
		}
	}
	return p, nil
}

// linesOf are the ids of a file; what follows # is for people.
func linesOf(raw []byte) ([]string, error) {
	var lines []string
	from := bufio.NewScanner(bytes.NewReader(raw))
	for from.Scan() {
		text, _, _ := strings.Cut(from.Text(), "#")
		if text = strings.TrimSpace(text); text != "" {
			lines = append(lines, text)
		}
	}
	if err := from.Err(); err != nil {
		return nil, problem.Wrap(problem.Usage, err, "--file")
	}
	return lines, nil
}

func (c *commandLine) archivedSince(ctx context.Context, api remote, f *archiveFlags) (picked, error) {
	now := c.now()
	since, err := parseSince(f.since, now)
	if err != nil {
		return picked{}, err
	}
	until, err := parseSince(f.until, now)
	if err != nil {
		return picked{}, problem.Newf(problem.Usage, "--until %q: must be a span such as 90m, 2h or 3d, or an instant such as 2026-03-01T08:00:00Z", f.until)
	}
	p := picked{chosen: true, said: strings.Join(cell{
		labelled("of merchant", &f.mchid), "since " + since.Format(time.RFC3339Nano), before(until),
	}.said(), ", ")}
	var cursor *string
	for {
		limit := min(f.limit-len(p.ids), maxPageRows)
		raw, err := patiently(ctx, page{cursor: cursor}, func(page) (json.RawMessage, error) {
			return api.ask(ctx)(operatorapi.NewListReplayableNotificationsRequest(api.base(), &operatorapi.ListReplayableNotificationsParams{
				Mchid: given[string](f.mchid), Since: since, Until: until, Limit: &limit, Cursor: cursor,
			}))
		})
		found, _, err := document[operatorapi.ReplayablePage](raw, err)
		if err != nil {
			return picked{}, err
		}
		for _, n := range found.Notifications {
			id, err := parseDeliveryID(n.DeliveryID)
			if err != nil {
				return picked{}, err
			}
			p.ids = append(p.ids, id)
		}
		p.total = max(p.total, value(found.Count), len(p.ids))
		if found.NextCursor == nil || len(p.ids) >= f.limit {
			return p, nil
		}
		cursor = found.NextCursor
	}
}

func before(until *time.Time) string {
	if until == nil {
		return ""
	}
	return "before " + until.Format(time.RFC3339Nano)
}

// arrivedAt is when a notification arrived: its id begins with the millisecond.
func arrivedAt(id operatorapi.DeliveryID) time.Time {
	ms := int64(0)
	raw, _ := hex.DecodeString(strings.ReplaceAll(id.String(), "-", "")[:12]) // a UUID's own text
	for _, b := range slices.Clone(raw) {
		ms = ms<<8 | int64(b)
	}
	return time.UnixMilli(ms).UTC()
}
