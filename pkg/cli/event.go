package cli

import (
	"context"

	"github.com/spf13/cobra"

	"github.com/fenflow/fenflow/pkg/operatorapi"
	"github.com/fenflow/fenflow/pkg/pay"
	"github.com/fenflow/fenflow/pkg/problem"
)

// tailRows is how many of the last events are shown unless told otherwise.
const tailRows = 20

func (c *commandLine) event() *cobra.Command {
	return c.group("event", "See published events as subscribers do", c.eventTail())
}

func (c *commandLine) eventTail() *cobra.Command {
	var mchid, since string
	var from int64
	var fact *choice
	t := &tail{c: c, every: pollEvery}
	var cmd *cobra.Command
	cmd = c.asks("tail", "Print the last events, or those from a place on; -f goes on with each new one", cobra.NoArgs, func(ctx context.Context, api remote, _ []string) (answer, error) {
		c.jsonLines = true
		begin, err := parseSince(since, c.now())
		if err != nil {
			return answer{}, err
		}
		t.all = (since != "" || cmd.Flags().Changed("from")) && !cmd.Flags().Changed("limit")
		asked := operatorapi.ListEventsParams{Mchid: given[string](mchid), Fact: given[operatorapi.Fact](fact.word), Since: begin}
		if cmd.Flags().Changed("from") {
			if from < 1 {
				return answer{}, problem.Newf(problem.Usage, "--from %d: sequences begin with 1", from)
			}
			asked.After = new(from - 1)
		}
		if t.left < 1 || t.left > maxPageRows {
			return answer{}, problem.Newf(problem.Usage, "--limit %d: must be 1 to %d", t.left, maxPageRows)
		}
		return answer{streamed: true}, t.run(ctx, api, asked)
	})
	flags := cmd.Flags()
	flags.StringVar(&mchid, "mchid", "", "only of this merchant")
	fact = choose(cmd, "fact", "only this fact", pay.Facts()...)
	flags.StringVar(&since, "since", "", "all from then on: 2h or 3d ago, or an instant of RFC 3339")
	flags.Int64Var(&from, "from", 0, "all from this sequence on")
	flags.IntVar(&t.left, "limit", tailRows, "at most so many, 1 to 500, before it ends or follows")
	flags.BoolVarP(&t.follow, "follow", "f", false, "go on with each new event until interrupted")
	cmd.MarkFlagsMutuallyExclusive("since", "from")
	cmd.Long = "Print published events where they stand in the stream, the oldest first. Subscribers notice nothing.\n\n" +
		"With --json each event is one line, the CloudEvent that subscribers get (JSON Lines). What is not\n" +
		"stored any more, and a stream that was made anew, is said on stderr."
	return cmd
}
