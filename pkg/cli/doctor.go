package cli

import (
	"context"
	"fmt"
	"strings"

	"github.com/jedib0t/go-pretty/v6/text"
	"github.com/spf13/cobra"

	"github.com/fenflow/fenflow/pkg/config"
	"github.com/fenflow/fenflow/pkg/problem"
)

// Doctor looks at configuration, database, broker, Redis, WeChat Pay's hosts, the
// front door and this machine, and changes nothing.
type Doctor interface {
	// Examine gives a finding for each thing, in a fixed order. role RoleAny:
	// every role that is set up on this machine.
	Examine(ctx context.Context, load func(config.Role) (config.Config, error), role config.Role, offline bool) []Finding
}

// Finding is what one check found. Verdict is ok, warn, fail or skipped.
type Finding struct {
	Group   string `json:"group"`
	Check   string `json:"check"`
	Subject string `json:"subject,omitempty"`
	Verdict string `json:"verdict"`
	Detail  string `json:"detail"`
	Fix     string `json:"fix,omitempty"`
}

// checkup is the document of a doctor's visit.
type checkup struct {
	OK       bool        `json:"ok"`
	Counts   verdictSums `json:"counts"`
	Findings []Finding   `json:"findings"`
}

type verdictSums struct {
	OK      int `json:"ok"`
	Warn    int `json:"warn"`
	Fail    int `json:"fail"`
	Skipped int `json:"skipped"`
}

func (c *commandLine) doctor() *cobra.Command {
	var role string
	var offline bool
	cmd := c.leaf("doctor", "Look at everything that fenflow leans on; say what is wrong, and the fix", cobra.NoArgs, func(ctx context.Context, _ []string) (answer, error) {
		roles, err := parseRoles(role, config.RoleAny)
		if err != nil {
			return answer{}, err
		}
		return c.examined(c.Doctor.Examine(ctx, c.load, roles[0], offline)), nil
	})
	cmd.Flags().StringVar(&role, "role", "", "only what this role needs: ingest, worker, reconciler or console (default: all that are set up here)")
	cmd.Flags().BoolVar(&offline, "offline", false, "ask no host of WeChat's or WeChat Pay's, and not front.url")
	cmd.Long = "Look at configuration and files, PostgreSQL, NATS, Redis, WeChat Pay's hosts, the front door and its apps,\n" +
		"keys against stored traffic, and this machine's ports. It works without a console, and changes nothing. Exit code 3: something failed."
	return cmd
}

func (c *commandLine) examined(found []Finding) answer {
	d := checkup{Findings: append([]Finding{}, found...)}
	for _, f := range found {
		switch f.Verdict {
		case "ok":
			d.Counts.OK++
		case "warn":
			d.Counts.Warn++
		case "skipped":
			d.Counts.Skipped++
		default:
			d.Counts.Fail++
		}
	}
	d.OK = d.Counts.Fail == 0
	a := answer{document: d, text: c.findingsText(found) + d.Counts.sentence()}
	if !d.OK {
		a.exit = problem.ExitConfig
	}
	return a
}

func (s verdictSums) sentence() string {
	return fmt.Sprintf("\n%d ok, %s, %s, %d skipped\n", s.OK, counted(s.Warn, "warning"), counted(s.Fail, "failure"), s.Skipped)
}

// The column of what was looked at: wider ones take a line of their own.
const maxWhat = 32

// findingsText lays out findings by group, each fix below what it mends.
func (c *commandLine) findingsText(found []Finding) string {
	width, marks := 0, 0
	for _, f := range found {
		if w := text.StringWidth(what(f)); w <= maxWhat {
			width = max(width, w)
		}
		marks = max(marks, text.StringWidth(c.mark(verdictMark(f.Verdict))))
	}
	indent := strings.Repeat(" ", 2+marks+1)
	column := indent + strings.Repeat(" ", width+columnGap)
	room := max(screenColumns-len(column), minLastColumn)
	var b strings.Builder
	group := ""
	for _, f := range found {
		if f.Group != group {
			group = f.Group
			b.WriteString(c.paint(groupTitle(group), text.Bold) + "\n")
		}
		m := verdictMark(f.Verdict)
		head := "  " + c.coloured(c.mark(m)) + strings.Repeat(" ", marks-text.StringWidth(c.mark(m))+1) + what(f)
		if w := text.StringWidth(what(f)); w <= width {
			head += strings.Repeat(" ", width-w+columnGap)
		} else {
			head += "\n" + column
		}
		lines := c.lines(cell{f.Detail}, room)
		if f.Fix != "" {
			lines = append(lines, c.lines(cell{c.arrow() + " " + f.Fix}, room)...)
		}
		b.WriteString(head + strings.Join(lines, "\n"+column) + "\n")
	}
	return b.String()
}

// what was looked at, in words.
func what(f Finding) string {
	_, word, _ := strings.Cut(f.Check, ".")
	return plain(strings.TrimSpace(strings.ReplaceAll(word, "_", " ") + " " + f.Subject))
}

func groupTitle(group string) string {
	known := map[string]string{
		"configuration": "Configuration", "postgres": "PostgreSQL", "nats": "NATS", "redis": "Redis",
		"wechatpay": "WeChat Pay", "front": "Front door", "wechat": "WeChat", "keys": "Keys", "host": "This machine",
	}
	if title, is := known[group]; is {
		return title
	}
	return plain(group)
}

func verdictMark(verdict string) mark {
	switch verdict {
	case "ok":
		return markOK
	case "warn":
		return markWarn
	case "skipped":
		return markSkipped
	}
	return markFail
}

func (c *commandLine) arrow() string {
	if c.unicode() {
		return "→"
	}
	return "->"
}
