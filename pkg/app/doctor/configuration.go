package doctor

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"

	"github.com/fenflow/fenflow/pkg/config"
	"github.com/fenflow/fenflow/pkg/problem"
)

// configuration looks at what is set, and at the files that it names.
func (d *doctor) configuration() []check {
	checks := []check{{name: "configuration.file", look: d.configFile}}
	for _, role := range config.Roles() {
		if d.Role == config.RoleAny || d.Role == role {
			checks = append(checks, check{name: "configuration.role", subject: string(role), look: func(context.Context) []outcome { return d.configRole(role) }})
		}
	}
	checks = append(checks, check{name: "configuration.secret_files", look: d.secretFiles})
	for _, m := range d.all.Merchants() {
		if m.MchID != "" {
			checks = append(checks, check{name: "configuration.merchant", subject: string(m.MchID), look: func(context.Context) []outcome { return d.merchant(m.MchID) }})
		}
	}
	return append(checks, check{name: "configuration.notify_url", look: d.notifyURL})
}

func (d *doctor) configFile(context.Context) []outcome {
	source := d.all.File()
	if source == "" {
		source = "the environment alone"
	}
	if d.all.err != nil {
		return each(problemsOf(d.all.err), func(p problem.Field) outcome { return outcome{Fail, p.String(), fixConfig(p)} })
	}
	if len(d.roles) == 0 {
		return fail("Set what a role of this machine needs: the lines below say what each one lacks.", "%s sets up no role", source)
	}
	var found []outcome
	for _, n := range d.all.Notices() {
		if n.Key != "public_url" { // has a check of its own
			found = append(found, outcome{Warn, n.String(), "Change it, unless it is meant."})
		}
	}
	if len(found) > 0 {
		return found
	}
	return ok("%s is read without a problem", source)
}

func fixConfig(p problem.Field) string {
	if p.Field == "" {
		return "Correct the file; `fenflow config check` says when it is right."
	}
	return "Correct " + p.Field + "; `fenflow config show` prints where it is set."
}

// configRole tells what is wrong for one role, and not what is for all.
func (d *doctor) configRole(role config.Role) []outcome {
	l, looked := d.roles[role]
	if !looked {
		return skipped("not set up on this machine: it lacks %s", strings.Join(d.all.Lacks(role), ", "))
	}
	known := problemsOf(d.all.err)
	own := slices.DeleteFunc(problemsOf(l.err), func(p problem.Field) bool { return slices.Contains(known, p) })
	switch {
	case len(own) > 0:
		return each(own, func(p problem.Field) outcome {
			return outcome{Fail, p.String(), fixConfig(p) + " Where " + string(role) + " runs on another machine, name the role of this one with --role."}
		})
	case l.err != nil:
		return skipped("not looked at, because configuration.file failed")
	}
	return ok("has what it needs")
}

// problemsOf lists the single problems in an error.
func problemsOf(err error) []problem.Field {
	var p *problem.Error
	switch {
	case err == nil:
		return nil
	case errors.As(err, &p) && len(p.Fields) > 0:
		return p.Fields
	}
	return []problem.Field{{Message: err.Error()}}
}

func each[T any](from []T, convert func(T) outcome) []outcome {
	to := make([]outcome, len(from))
	for i, one := range from {
		to[i] = convert(one)
	}
	return to
}

// othersMay are the permissions of group and world.
const othersMay = 0o077

// secretFiles looks at who may read what nobody should. Files that are not there
// are told of by whoever needs them.
func (d *doctor) secretFiles(context.Context) []outcome {
	var found []outcome
	looked, told := 0, map[string]bool{}
	for _, f := range d.all.SecretFiles() {
		info, err := os.Stat(f.File)
		if err != nil || told[f.File] {
			continue
		}
		looked++
		told[f.File] = true
		if mode := info.Mode().Perm(); mode&othersMay != 0 {
			found = append(found, outcome{Warn, fmt.Sprintf("%s (%s) can be read by others: its mode is %04o", f.File, f.Key, mode),
				"chmod 600 " + f.File + ", as the user that the roles run as."})
		}
	}
	switch {
	case len(found) > 0:
		return found
	case looked == 0:
		return skipped("no file with a secret is on this machine")
	}
	return ok("%s, each for its owner alone", counted(looked, "file"))
}

func counted(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return fmt.Sprintf("%d %ss", n, noun)
}
