package cli

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/fenflow/fenflow/pkg/config"
	"github.com/fenflow/fenflow/pkg/problem"
)

func (c *commandLine) config() *cobra.Command {
	var showRole, checkRole string
	var secrets bool
	show := c.leaf("show", "Print each setting with its value and origin; secrets are redacted", cobra.NoArgs, func(context.Context, []string) (answer, error) {
		return c.configShow(showRole)
	})
	show.Flags().StringVar(&showRole, "role", "", "only what this role is given: ingest, worker, reconciler or console")
	check := c.leaf("check", "Report all problems of the configuration at once", cobra.NoArgs, func(context.Context, []string) (answer, error) {
		return c.configCheck(checkRole, secrets)
	})
	check.Flags().StringVar(&checkRole, "role", "", "check for this role only (default: ingest, worker and reconciler)")
	check.Flags().BoolVar(&secrets, "secrets", false, "also open the key files that the roles will open")
	return c.group("config", "See and check the configuration", show, check)
}

func (c *commandLine) configShow(role string) (answer, error) {
	roles, err := parseRoles(role, config.RoleAny)
	if err != nil {
		return answer{}, err
	}
	cfg, err := c.load(roles[0])
	if err != nil {
		return answer{}, err
	}
	settings := cfg.Show()
	rows := [][]string{{"KEY", "VALUE", "ORIGIN"}}
	for _, s := range settings {
		rows = append(rows, []string{s.Key, s.Value, s.Origin})
	}
	return answer{document: map[string]any{"file": cfg.File(), "settings": settings}, text: table(rows...)}, nil
}

func (c *commandLine) configCheck(role string, secrets bool) (answer, error) {
	roles, err := parseRoles(role, config.RoleIngest, config.RoleWorker, config.RoleReconciler)
	if err != nil {
		return answer{}, err
	}
	var found findings
	for _, r := range roles {
		cfg, err := c.load(r)
		if err == nil && secrets {
			_, err = cfg.Snapshot()
			err = errors.Join(err, cfg.Front.CheckSessionKey())
		}
		found.add(cfg, err)
	}
	if len(found.problems) > 0 {
		return answer{}, found.asError()
	}
	return found.answer(roles), nil
}

func parseRoles(name string, standard ...config.Role) ([]config.Role, error) {
	if name == "" {
		return standard, nil
	}
	if role := config.Role(name); slices.Contains(config.Roles(), role) {
		return []config.Role{role}, nil
	}
	return nil, problem.Newf(problem.Usage, "--role %q: must be ingest, worker, reconciler or console", name)
}

// findings gather what several roles find, each thing once.
type findings struct {
	file     string
	problems []problem.Field
	notices  []string
	kind     problem.Kind
}

func (f *findings) add(cfg config.Config, err error) {
	f.file = cfg.File()
	for _, n := range cfg.Notices() {
		if !slices.Contains(f.notices, n.String()) {
			f.notices = append(f.notices, n.String())
		}
	}
	for _, one := range flatten(err) {
		if !slices.Contains(f.problems, one) {
			f.problems, f.kind = append(f.problems, one), problem.KindOf(err)
		}
	}
}

// flatten lists the problems in an error: fields, joined errors, or itself.
func flatten(err error) []problem.Field {
	var p *problem.Error
	var joined interface{ Unwrap() []error }
	switch {
	case err == nil:
		return nil
	case errors.As(err, &joined):
		var all []problem.Field
		for _, one := range joined.Unwrap() {
			all = append(all, flatten(one)...)
		}
		return all
	case errors.As(err, &p) && len(p.Fields) > 0:
		return p.Fields
	case errors.As(err, &p) && p.Detail != "":
		return []problem.Field{{Message: p.Detail}}
	case errors.As(err, &p) && p.Unwrap() != nil:
		return flatten(p.Unwrap())
	}
	return []problem.Field{{Message: err.Error()}}
}

func (f *findings) asError() error {
	noun := "problems"
	if len(f.problems) == 1 {
		noun = "problem"
	}
	e := problem.Newf(f.kind, "%d %s", len(f.problems), noun)
	e.Fields = f.problems
	return e
}

func (f *findings) answer(roles []config.Role) answer {
	names := make([]string, len(roles))
	for i, r := range roles {
		names[i] = string(r)
	}
	source := f.file
	if source == "" {
		source = "the environment"
	}
	text := fmt.Sprintf("%s is usable for %s.\n", source, strings.Join(names, ", "))
	for _, n := range f.notices {
		text += "notice: " + n + "\n"
	}
	return answer{text: text, document: map[string]any{"ok": true, "file": f.file, "roles": names, "notices": append([]string{}, f.notices...)}}
}
