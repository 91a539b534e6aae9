package cli

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"

	"github.com/spf13/cobra"

	"github.com/fenflow/fenflow/pkg/operatorapi"
	"github.com/fenflow/fenflow/pkg/problem"
)

const reverifyLong = `Say whether what was turned away would pass with the keys of now, and let in what does.

Either the samples that are named are verified again, or the latest that --where and --since leave. Each is judged as of
its receipt: its age says nothing against it, and a time that was off then is off still.

With --publish, those that pass are settled as if they had been accepted: their own bytes, under their own delivery
ids; what is published twice is settled once. Those that do not pass are never published.

Exit codes: 0 all pass (and are published), 5 some do not pass, or you declined, 7 some could not be published`

// reverifyFlags say which samples, and whether they are to be published.
type reverifyFlags struct {
	where   map[string]string
	list    listing
	publish bool
	why     string
	yes     bool
}

func (c *commandLine) rejectedReverify() *cobra.Command {
	var f reverifyFlags
	reverify := c.asks("reverify [SAMPLE...]", "Verify samples again; --publish lets in what passes", cobra.ArbitraryArgs, func(ctx context.Context, api remote, args []string) (answer, error) {
		numbers, err := f.numbers(ctx, api, args)
		if err != nil {
			return answer{}, err
		}
		return c.reverify(ctx, api, &f, numbers, len(args) > 0)
	})
	reverify.Long = reverifyLong
	f.list.now = c.now
	flags := reverify.Flags()
	flags.StringToStringVar(&f.where, "where", nil, "the latest with reason=…, mchid=…, or both: reason=unknown_serial,mchid=1900000109")
	flags.StringVar(&f.list.since, "since", "", "with --where: only what was received then or later: 2h or 3d ago, or an instant of RFC 3339")
	flags.IntVar(&f.list.limit, "limit", maxListedIDs, fmt.Sprintf("with --where: the latest, at most so many, 1 to %d", maxPageRows))
	flags.BoolVar(&f.publish, "publish", false, "let in those that pass; takes a token of role operate, and --reason")
	flags.StringVar(&f.why, "reason", "", "with --publish: why; it goes into the audit log")
	flags.BoolVar(&f.yes, "yes", false, "with --where and --publish: do not ask")
	reverify.MarkFlagsRequiredTogether("publish", "reason")
	return reverify
}

// numbers are the samples that are named, or those that a filter leaves.
func (f *reverifyFlags) numbers(ctx context.Context, api remote, args []string) ([]int64, error) {
	if f.publish {
		var err error
		if f.why, err = theReason(f.why); err != nil {
			return nil, err
		}
	}
	if len(args) > 0 {
		if len(f.where) > 0 || f.list.since != "" {
			return nil, problem.New(problem.Usage, "name samples, or say --where with --since: not both")
		}
		return parseSequences(args)
	}
	if err := f.check(); err != nil {
		return nil, err
	}
	got, err := api.samples(ctx, &f.list, f.where["mchid"], f.where["reason"])
	var numbers []int64
	for _, s := range got.rows {
		numbers = append(numbers, s.Sequence)
	}
	return numbers, err
}

func parseSequences(args []string) (numbers []int64, err error) {
	for _, text := range args {
		n, err := parseSequence(text)
		if err != nil {
			return nil, err
		}
		if !slices.Contains(numbers, n) {
			numbers = append(numbers, n)
		}
	}
	if len(numbers) > maxPageRows {
		return nil, problem.Newf(problem.Usage, "%d samples are named; %d can be verified at once", len(numbers), maxPageRows)
	}
	return numbers, nil
}

func (f *reverifyFlags) check() error {
	if len(f.where) == 0 {
		return problem.New(problem.Usage, "name samples, or say which with --where reason=…")
	}
	for name, text := range f.where {
		switch {
		case name != "reason" && name != "mchid":
			return problem.Newf(problem.Usage, "--where %s=…: samples are chosen by reason and mchid", name)
		case text == "":
			return problem.Newf(problem.Usage, "--where %s=: is empty", name)
		}
	}
	if reason := f.where["reason"]; reason != "" && !slices.Contains(rejectedFor(), operatorapi.RejectedFor(reason)) {
		return problem.Newf(problem.Usage, "--where reason=%s: must be one of %s", reason, worded(rejectedFor()))
	}
	return nil
}

// reverify looks first; what is to be published was seen to pass, and is
// verified once more where it is published.
func (c *commandLine) reverify(ctx context.Context, api remote, f *reverifyFlags, numbers []int64, named bool) (answer, error) {
	var looked verdicts
	for some := range slices.Chunk(numbers, maxListedIDs) {
		err := looked.add(api.ask(ctx)(operatorapi.NewReverifyRejectedRequest(api.base(), &operatorapi.ReverifyRejectedParams{Sequence: some})))
		if err != nil {
			return answer{}, err
		}
	}
	passing := looked.passing()
	if !f.publish || len(passing) == 0 {
		return c.verdictAnswer(&looked, f), nil
	}
	if !named && !f.yes {
		act := counted(len(passing), "notification") + " of " + counted(len(numbers), "sample")
		meant, err := c.confirmed(ctx, "Publish "+act+"?", "this would publish "+act+"; there is nobody to ask whether they are meant")
		switch {
		case err != nil:
			return answer{}, err
		case !meant:
			return answer{document: looked.document(), text: "Nothing was published.\n", exit: problem.ExitRefused}, nil
		}
	}
	for some := range slices.Chunk(passing, maxListedIDs) {
		err := looked.add(api.ask(ctx)(operatorapi.NewPublishRejectedRequest(api.base(), operatorapi.PublishRejectedJSONRequestBody{Sequences: some, Reason: f.why})))
		if err != nil {
			return answer{}, err
		}
	}
	return c.verdictAnswer(&looked, f), nil
}

// verdicts are the API's, each sample's latest in the order of the question.
type verdicts struct {
	rows []operatorapi.RejectedVerdict
	raw  []json.RawMessage
}

func (v *verdicts) add(raw json.RawMessage, err error) error {
	rows, _, err := document[operatorapi.RejectedVerdicts](raw, err)
	if err != nil {
		return err
	}
	texts, _, err := document[struct {
		Samples []json.RawMessage `json:"samples"`
	}](raw, nil)
	if err != nil {
		return err
	}
	for i, row := range rows.Samples {
		at := slices.IndexFunc(v.rows, func(r operatorapi.RejectedVerdict) bool { return r.Sequence == row.Sequence })
		if at >= 0 {
			v.rows[at], v.raw[at] = row, texts.Samples[i]
			continue
		}
		v.rows, v.raw = append(v.rows, row), append(v.raw, texts.Samples[i])
	}
	return nil
}

func (v *verdicts) passing() (numbers []int64) {
	for _, r := range v.rows {
		if r.Passes {
			numbers = append(numbers, r.Sequence)
		}
	}
	return numbers
}

func (v *verdicts) document() any {
	return map[string]any{"samples": append([]json.RawMessage{}, v.raw...)}
}

func (c *commandLine) verdictAnswer(v *verdicts, f *reverifyFlags) answer {
	a := answer{document: v.document(), text: "Nothing that was turned away is like that.\n"}
	if len(v.rows) == 0 {
		return a
	}
	var rows [][]cell
	published, unpublished := 0, 0
	for i := range v.rows {
		r := &v.rows[i]
		if r.Published {
			published++
		}
		if r.Passes && !r.Published && f.publish {
			unpublished++
		}
		rows = append(rows, []cell{{sequence(r.Sequence)}, {passWord(r)}, verdictCell(r)})
	}
	passing := len(v.passing())
	a.text = c.grid([]string{"SAMPLE", "NOW", "WHY"}, rows...) + fmt.Sprintf("\n%s: %d would pass, %d would be refused again", counted(len(rows), "sample"), passing, len(rows)-passing)
	if f.publish {
		a.text += ", " + strconv.Itoa(published) + " published"
	}
	a.text += ".\n"
	switch {
	case unpublished > 0:
		a.exit = problem.ExitUnavailable
	case passing < len(rows):
		a.exit = problem.ExitRefused
	}
	return a
}

func passWord(r *operatorapi.RejectedVerdict) string {
	switch {
	case r.Published:
		return "published"
	case r.Passes:
		return "passes"
	}
	return "refused"
}

func verdictCell(r *operatorapi.RejectedVerdict) cell {
	if r.Passes {
		return cell{labelled("key", r.KeyID), value(r.EventType), labelled("order", r.OutTradeNo), labelled("delivery", r.DeliveryID), labelled("not published:", r.Unpublished)}
	}
	return cell{value(r.Reason) + ": " + value(r.Detail)}
}
