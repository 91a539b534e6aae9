package cli

import (
	"bufio"
	"bytes"
	"context"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"github.com/fenflow/fenflow/pkg/operatorapi"
	"github.com/fenflow/fenflow/pkg/problem"
)

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
		raw, err := c.input("--file", f.file, maxListBytes)
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
		id, err := archivedID(text)
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
	if until != nil && !since.Before(*until) {
		e := problem.Newf(problem.Usage, "--until %s is not after --since %s: nothing lies between", plain(f.until), plain(f.since))
		e.NextStep = "Spans count back from now: --since 2h --until 1h is the hour before the last."
		return picked{}, e
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
	for _, b := range raw {
		ms = ms<<8 | int64(b)
	}
	return time.UnixMilli(ms).UTC()
}
