package devstack

import (
	"context"
	"database/sql"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// describe prints the addresses and one next step.
func (s *Stack) describe() {
	s.say("\nfenflow is up; everything listens on loopback only.\n")
	for _, line := range [][2]string{
		{"notifications", s.NotifyURL() + "/notify/v3/" + s.merchant.Mchid},
		{"business API", s.APIURL() + "/v1/orders"},
		{"stand-in WeChat Pay", s.SimulatorURL() + "/  (open it in a browser: orders, with a Pay button)"},
		{"metrics", httpURL(s.ports.admin) + "/metrics (ingest), " + httpURL(s.ports.workerAdmin) + "/metrics (worker)"},
		{"NATS", s.NATSURL() + "  user subscriber, password " + s.passwords["subscriber"]},
		{"PostgreSQL", s.postgres.URL(databaseName)},
		{"Redis", s.redis.URL()},
		{"configuration", s.options.path("merchant", "fenflow.yaml")},
		{"logs", s.options.path("log")},
	} {
		s.say("  %-20s %s", line[0], line[1])
	}
	for _, p := range s.processes {
		pid, _ := p.status()
		s.say("  %-20s pid %d", p.name, pid)
	}
	s.say("\nNext: place an order, pay it (here, or with the Pay button), and look at it:\n\n%s\n", s.nextStep())
}

func (s *Stack) nextStep() string {
	no := time.Now().UTC().Format("20060102150405") // the books are kept: yesterday's number is paid
	return fmt.Sprintf(`  curl -sS %s/v1/orders -H 'Authorization: Bearer %s' -H 'Content-Type: application/json' \
    -d '{"out_trade_no":"T%s","appid":"%s","client":"native","description":"One pot of tea","amount_fen":100,"currency":"CNY"}'
  curl -sS -X POST %s/control/orders/T%s/pay -d '{}'
  sleep 1; curl -sS %s/v1/orders/T%s -H 'Authorization: Bearer %s'`,
		s.APIURL(), s.merchant.APIKey, no, s.merchant.Appid, s.SimulatorURL(), no, s.APIURL(), no, s.merchant.APIKey)
}

// unknownEffects looks into the books for money that the platform never
// moved: each such row is a forgery that was believed.
func (s *Stack) unknownEffects(ctx context.Context, d *demo, report *Report) error {
	ledger, err := d.platform.ledger(ctx)
	if err != nil {
		return err
	}
	moved := make(map[string]bool, len(ledger.Payments))
	for _, p := range ledger.Payments {
		moved[p.TransactionID] = true
	}
	db, err := sql.Open("postgres", s.postgres.URL(databaseName))
	if err != nil {
		return fmt.Errorf("open the books: %w", err)
	}
	defer func() { _ = db.Close() }()
	rows, err := db.QueryContext(ctx, "SELECT transaction_id FROM payments")
	if err != nil {
		return fmt.Errorf("read the payments: %w", err)
	}
	defer func() { _ = rows.Close() }()
	for rows.Next() {
		var id string
		if err := rows.Scan(&id); err != nil {
			return fmt.Errorf("read a payment: %w", err)
		}
		if !moved[id] {
			report.ForgedAccepted++
		}
	}
	if err := rows.Err(); err != nil {
		return fmt.Errorf("read the payments: %w", err)
	}
	return nil
}

// verdict says in one line which promise was broken.
func (r Report) verdict() string {
	var broken []string
	add := func(bad bool, format string, args ...any) {
		if bad {
			broken = append(broken, fmt.Sprintf(format, args...))
		}
	}
	add(r.Error != "", "%s", r.Error)
	add(r.Paid != r.Orders, "%d of %d orders were paid", r.Paid, r.Orders)
	add(r.Lost > 0, "%d payments are lost", r.Lost)
	add(r.Events != r.Paid, "%d events for %d payments", r.Events, r.Paid)
	add(r.DuplicateEvents > 0, "%d events came twice", r.DuplicateEvents)
	add(r.ForgedAccepted > 0, "%d forgeries were believed", r.ForgedAccepted)
	return "the demo failed: " + strings.Join(broken, "; ")
}

// keepLogs copies the logs of a failed run out of its directory, which goes.
func (s *Stack) keepLogs(dir string) {
	kept, err := os.MkdirTemp("", "fenflow-demo-logs-")
	if err != nil {
		return
	}
	entries, err := os.ReadDir(filepath.Join(dir, "log"))
	if err != nil {
		return
	}
	for _, e := range entries {
		raw, err := os.ReadFile(filepath.Join(dir, "log", e.Name()))
		if err == nil {
			_ = os.WriteFile(filepath.Join(kept, e.Name()), raw, 0o600) // best effort: the run has failed already
		}
	}
	s.say("the logs of this run are in %s", kept)
}
