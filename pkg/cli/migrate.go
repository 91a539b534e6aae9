package cli

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/fenflow/fenflow/pkg/config"
	"github.com/fenflow/fenflow/pkg/problem"
)

// Migrator changes the schema of the database at a URL.
type Migrator interface {
	// Up applies what is pending and returns what it applied.
	Up(ctx context.Context, url string) ([]Migration, error)
	// Status lists all migrations, applied or not; it changes nothing.
	Status(ctx context.Context, url string) ([]Migration, error)
}

// Migration is one step of the schema. A name that is empty means that the
// database has a step that this program does not know.
type Migration struct {
	Version   int64      `json:"version"`
	Name      string     `json:"name"`
	Applied   bool       `json:"applied"`
	AppliedAt *time.Time `json:"applied_at,omitempty"`
}

// ErrUnavailable marks a Migrator's error that may pass: the database cannot
// be reached.
var ErrUnavailable = errors.New("database cannot be reached")

type migrationStatus struct {
	Migrations []Migration `json:"migrations"`
	Pending    int         `json:"pending"`
	Unknown    int         `json:"unknown"`
}

func (c *commandLine) migrate() *cobra.Command {
	var exitCode bool
	status := c.leaf("status", "List migrations and say which are pending; changes nothing", cobra.NoArgs, func(ctx context.Context, _ []string) (answer, error) {
		return c.migrateStatus(ctx, exitCode)
	})
	status.Flags().BoolVar(&exitCode, "exit-code", false, "exit with 8 if migrations are pending")
	up := c.leaf("up", "Apply pending migrations", cobra.NoArgs, func(ctx context.Context, _ []string) (answer, error) { return c.migrateUp(ctx) })
	return c.group("migrate", "See and apply database migrations", status, up)
}

func (c *commandLine) migrateStatus(ctx context.Context, exitCode bool) (answer, error) {
	url, err := c.databaseURL("to migrate")
	if err != nil {
		return answer{}, err
	}
	all, err := c.Migrator.Status(ctx, url)
	if err != nil {
		return answer{}, migrationError(err, "read migrations")
	}
	s := migrationStatus{Migrations: all}
	rows := [][]string{{"VERSION", "APPLIED", "NAME"}}
	for _, m := range all {
		rows = append(rows, []string{fmt.Sprint(m.Version), m.appliedText(), m.Name})
		if !m.Applied {
			s.Pending++
		}
		if m.Name == "" {
			s.Unknown++
		}
	}
	a := answer{document: s, text: table(rows...) + s.sentence()}
	if exitCode && s.Pending > 0 {
		a.exit = problem.ExitPending
	}
	return a, nil
}

func (m Migration) appliedText() string {
	switch {
	case !m.Applied:
		return "pending"
	case m.AppliedAt == nil:
		return "yes"
	}
	return m.AppliedAt.UTC().Format(time.RFC3339)
}

func (s migrationStatus) sentence() string {
	text := "Nothing is pending.\n"
	if s.Pending > 0 {
		text = fmt.Sprintf("%d pending: run `fenflow migrate up`.\n", s.Pending)
	}
	if s.Unknown > 0 {
		text += fmt.Sprintf("%d unknown to this program: the database was migrated by a newer version.\n", s.Unknown)
	}
	return text
}

func (c *commandLine) migrateUp(ctx context.Context) (answer, error) {
	url, err := c.databaseURL("to migrate")
	if err != nil {
		return answer{}, err
	}
	ran, err := c.Migrator.Up(ctx, url)
	if err != nil {
		return answer{}, migrationError(err, fmt.Sprintf("%d applied before it", len(ran)))
	}
	text := ""
	for _, m := range ran {
		text += fmt.Sprintf("applied %d %s\n", m.Version, m.Name)
	}
	if len(ran) == 0 {
		ran, text = []Migration{}, "Nothing was pending.\n"
	}
	return answer{document: map[string]any{"applied": ran}, text: text}, nil
}

func (c *commandLine) databaseURL(purpose string) (string, error) {
	cfg, err := c.load(config.RoleCLI)
	if err != nil {
		return "", err
	}
	if cfg.Postgres.URL == "" {
		return "", problem.InvalidConfig("postgres.url", "is not set: it names the database "+purpose+" (variable FENFLOW_POSTGRES_URL)")
	}
	return cfg.Postgres.URL.Reveal(), nil
}

func migrationError(err error, detail string) error {
	if errors.Is(err, ErrUnavailable) {
		return problem.Wrap(problem.DatabaseUnavailable, err, detail)
	}
	return problem.Wrap(problem.MigrationFailed, err, detail)
}
