package cli

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

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

Exit codes: 0 all are settled (--dry-run: it could be told; --expect: all is done), 5 some are dead letters, some
that were named cannot be replayed, or you declined (--expect: some are dead letters, or an order has moved), 7 the
lane is not through with them, or it was stopped (--dry-run: somebody holds a row; --expect: some were left alone)`

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
