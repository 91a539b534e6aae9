package cli

import (
	"context"
	"encoding/json"
	"fmt"
	"strconv"

	"github.com/spf13/cobra"

	"github.com/fenflow/fenflow/pkg/operatorapi"
	"github.com/fenflow/fenflow/pkg/problem"
)

func (c *commandLine) rejected() *cobra.Command {
	return c.group("rejected", "List and show what the edge turned away; verify it again", c.rejectedLs(), c.rejectedShow(), c.rejectedReverify())
}

// rejectedFor are the reasons for which samples are kept.
func rejectedFor() []operatorapi.RejectedFor {
	return []operatorapi.RejectedFor{"bad_signature", "timestamp", "unknown_serial", "malformed"}
}

func (c *commandLine) rejectedLs() *cobra.Command {
	var list listing
	var mchid string
	var reason *choice
	ls := c.asks("ls", "List samples of what was turned away, the newest first", cobra.NoArgs, func(ctx context.Context, api remote, _ []string) (answer, error) {
		got, err := api.samples(ctx, &list, mchid, reason.word)
		if err != nil {
			return answer{}, err
		}
		return answer{document: got.document, text: c.samplesText(got)}, nil
	})
	list.flags(c, ls)
	ls.Flags().StringVar(&mchid, "mchid", "", "only of this merchant")
	reason = choose(ls, "reason", "only for this reason", rejectedFor()...)
	return ls
}

func (r remote) samples(ctx context.Context, list *listing, mchid, reason string) (listed[operatorapi.Rejected], error) {
	return read[operatorapi.Rejected](ctx, list, "samples", func(p page) (json.RawMessage, error) {
		return r.ask(ctx)(operatorapi.NewListRejectedRequest(r.base(), &operatorapi.ListRejectedParams{
			Mchid: given[string](mchid), Reason: given[operatorapi.RejectedFor](reason), Since: p.since, Limit: p.limit, Cursor: p.cursor,
		}))
	})
}

const noneAmongLatest = "None among the latest.\n"

func (c *commandLine) samplesText(got listed[operatorapi.Rejected]) string {
	switch {
	case len(got.rows) == 0 && got.more:
		return noneAmongLatest + thereIsMore
	case len(got.rows) == 0:
		return "Nothing that was turned away is like that.\n"
	}
	var rows [][]cell
	for i := range got.rows {
		s := &got.rows[i]
		rows = append(rows, []cell{{sequence(s.Sequence)}, {instant(s.ReceivedAt)}, {s.Reason}, {value(s.KeyID), "merchant " + s.Mchid, value(s.Unreadable)}})
	}
	text := c.grid([]string{"SAMPLE", "RECEIVED", "REASON", "NAMES"}, rows...)
	if got.more {
		text += thereIsMore
	}
	return text
}

func sequence(n int64) string { return strconv.FormatInt(n, 10) }

func parseSequence(text string) (int64, error) {
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil || n < 1 {
		e := problem.Newf(problem.Usage, "%q is no number of a sample", text)
		e.NextStep = "`fenflow rejected ls` lists samples with their numbers."
		return 0, e
	}
	return n, nil
}

func (c *commandLine) rejectedShow() *cobra.Command {
	var body string
	show := c.asks("show SAMPLE", "Show a sample; --body gives its bytes", cobra.ExactArgs(1), func(ctx context.Context, api remote, args []string) (answer, error) {
		n, err := parseSequence(args[0])
		if err != nil {
			return answer{}, err
		}
		s, raw, err := document[operatorapi.RejectedWithBytes](api.ask(ctx)(operatorapi.NewGetRejectedRequest(api.base(), n)))
		if err != nil {
			return answer{}, err
		}
		return c.withBytes(raw, body, s.BodyBase64, func(bytes string) string { return c.sampleText(&s, bytes) })
	})
	show.Flags().StringVar(&body, "body", "", "write the bytes, as they arrived, into this new file; - is stdout")
	return show
}

// withBytes is the answer of a command that shows a message, whose bytes may
// be wanted in a file, or on stdout.
func (c *commandLine) withBytes(raw json.RawMessage, body string, bytes []byte, text func(bytes string) string) (answer, error) {
	switch {
	case body == "-" && c.json:
		return answer{}, problem.New(problem.Usage, "--body - and --json both want stdout: the document has the bytes as body_base64")
	case body == "-":
		return answer{text: c.bytesText(bytes)}, nil
	case body == "":
		return answer{document: raw, text: text(fmt.Sprintf("%d; --body FILE writes them", len(bytes)))}, nil
	}
	if err := saveNew("--body", body, bytes); err != nil {
		return answer{}, err
	}
	return answer{document: raw, text: text(fmt.Sprintf("%d, in %s", len(bytes), body))}, nil
}

func (c *commandLine) sampleText(s *operatorapi.RejectedWithBytes, bytes string) string {
	said := c.facts(
		fact("sample", sequence(s.Sequence), "merchant "+s.Mchid),
		fact("turned away", s.Reason, s.Detail),
		fact("unreadable", value(s.Unreadable)),
		fact("received", instant(s.ReceivedAt)),
		fact("message", value(s.Kind), labelled("delivery", s.DeliveryID)),
		fact("names key", value(s.KeyID)),
		fact("bytes", bytes),
	)
	if len(s.Headers) > 0 {
		said += "\n" + c.grid([]string{"HEADER", "VALUE"}, headerRows(s.Headers)...)
	}
	return said
}
