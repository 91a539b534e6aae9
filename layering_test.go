// Package fenflow_test holds the checks on the whole repository: which room
// may open which door.
package fenflow_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"os/exec"
	"path"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

const module = "github.com/fenflow/fenflow"

// room is one line of the house plan in CONTRIBUTING.md: what a package may
// import directly, of ours and of others. A pattern ending in "/..." takes
// everything below it. The standard library is allowed everywhere, save
// database/sql, which has its own door.
type room struct {
	name   string
	ours   []string
	others []string
}

// plan lists the rooms; the first pattern that matches a package is its room.
func plan() []room {
	nouns := []string{"pkg/pay", "pkg/problem", "pkg/event", "schema"}
	protocols := append(slices.Clone(nouns), "pkg/merchant", "pkg/wechatpay", "pkg/config", "pkg/telemetry")
	edge := append(slices.Clone(nouns), "pkg/merchant", "pkg/wechatpay", "pkg/telemetry")
	asked := append(slices.Clone(edge), "pkg/request")
	return []room{
		// 0: nouns
		{name: "pkg/pay", ours: []string{"pkg/problem"}},
		{name: "pkg/problem"},
		{name: "pkg/event"},
		{name: "schema"},
		// 1a: protocols
		{name: "pkg/merchant", ours: nouns},
		{name: "pkg/wechat", ours: append(slices.Clone(nouns), "pkg/merchant", "pkg/telemetry"), others: []string{"github.com/silenceper/wechat/v2/...", "golang.org/x/..."}},
		{name: "pkg/wechatpay", ours: append(slices.Clone(nouns), "pkg/merchant", "pkg/qrcode"), others: []string{"github.com/wechatpay-apiv3/wechatpay-go/...", "golang.org/x/..."}},
		{name: "pkg/qrcode", others: []string{"rsc.io/qr"}},
		{name: "pkg/session", ours: nouns, others: []string{"github.com/golang-jwt/jwt/v5"}},
		{name: "pkg/config", ours: append(slices.Clone(nouns), "pkg/merchant"), others: []string{"go.yaml.in/yaml/v3", "github.com/sethvargo/go-envconfig"}},
		{name: "pkg/request", ours: nouns},
		{name: "pkg/httpedge", ours: append(slices.Clone(nouns), "pkg/request"), others: []string{"github.com/go-chi/chi/v5"}},
		{name: "pkg/telemetry", ours: nouns, others: []string{"github.com/prometheus/client_golang/..."}},
		// 1b: adapters
		{name: "pkg/store", ours: edge, others: []string{"database/sql", "github.com/jmoiron/sqlx", "github.com/lib/pq/...", "github.com/lib/pq", "github.com/pressly/goose/v3/...", "github.com/pressly/goose/v3", "github.com/google/uuid"}},
		{name: "pkg/bus", ours: edge, others: []string{"github.com/nats-io/nats.go/...", "github.com/nats-io/nats.go", "github.com/google/uuid", "golang.org/x/..."}},
		{name: "pkg/queue", ours: append(slices.Clone(nouns), "pkg/telemetry"), others: []string{"github.com/hibiken/asynq", "github.com/redis/go-redis/v9", "github.com/prometheus/client_golang/..."}},
		// 2: use cases
		{name: "pkg/front", ours: append(slices.Clone(asked), "pkg/httpedge", "pkg/session"), others: []string{"github.com/go-chi/chi/v5", "github.com/go-chi/cors", "golang.org/x/...", "github.com/prometheus/client_golang/..."}},
		{name: "pkg/ingest", ours: append(slices.Clone(asked), "pkg/httpedge", "pkg/session"), others: []string{"github.com/go-chi/chi/v5/...", "github.com/go-chi/chi/v5", "github.com/google/uuid", "golang.org/x/...", "github.com/prometheus/client_golang/..."}},
		{name: "pkg/settle", ours: edge, others: useCaseLibraries()},
		{name: "pkg/command", ours: edge, others: useCaseLibraries()},
		{name: "pkg/outbox", ours: edge, others: useCaseLibraries()},
		{name: "pkg/deadletter", ours: edge, others: useCaseLibraries()},
		{name: "pkg/replay", ours: edge, others: useCaseLibraries()},
		{name: "pkg/certificates", ours: edge, others: useCaseLibraries()},
		{name: "pkg/subscribers", ours: edge, others: useCaseLibraries()},
		{name: "pkg/reconcile", ours: edge, others: useCaseLibraries()},
		{name: "pkg/keycheck", ours: edge, others: useCaseLibraries()},
		{name: "pkg/reverify", ours: edge, others: useCaseLibraries()},
		{name: "pkg/recovery", ours: edge, others: useCaseLibraries()},
		{name: "pkg/login", ours: append(slices.Clone(edge), "pkg/wechat", "pkg/session"), others: useCaseLibraries()},
		{name: "pkg/message", ours: append(slices.Clone(edge), "pkg/wechat"), others: useCaseLibraries()},
		{name: "pkg/jsconfig", ours: append(slices.Clone(edge), "pkg/wechat"), others: useCaseLibraries()},
		{name: "pkg/menu", ours: append(slices.Clone(edge), "pkg/wechat"), others: useCaseLibraries()},
		// 3: surfaces
		{name: "pkg/operator", ours: append(slices.Clone(asked), "pkg/httpedge"), others: []string{"github.com/go-chi/chi/v5/...", "github.com/go-chi/chi/v5", "github.com/google/uuid", "github.com/nats-io/nkeys", "golang.org/x/...", "github.com/prometheus/client_golang/..."}},
		{name: "pkg/cli", ours: append(slices.Clone(protocols), "pkg/app/boot", "pkg/operatorapi"), others: []string{"github.com/spf13/cobra", "github.com/jedib0t/go-pretty/v6/...", "github.com/nats-io/nkeys"}},
		// 4: composition
		{name: "pkg/app/boot", ours: protocols, others: []string{"github.com/go-chi/chi/v5", "github.com/prometheus/client_golang/...", "golang.org/x/..."}},
		{name: "pkg/app/ingest", ours: append(slices.Clone(protocols), "pkg/app/boot", "pkg/bus", "pkg/front", "pkg/ingest", "pkg/session"), others: []string{"golang.org/x/...", "github.com/prometheus/client_golang/..."}},
		{name: "pkg/app/worker", ours: append(slices.Clone(protocols), "pkg/app/boot", "pkg/bus", "pkg/store", "pkg/queue", "pkg/settle", "pkg/command", "pkg/outbox", "pkg/deadletter", "pkg/replay", "pkg/certificates", "pkg/recovery", "pkg/keycheck", "pkg/reverify", "pkg/subscribers", "pkg/wechat", "pkg/session", "pkg/login", "pkg/jsconfig", "pkg/message", "pkg/menu"), others: []string{"golang.org/x/...", "github.com/google/uuid", "github.com/prometheus/client_golang/..."}},
		{name: "pkg/app/reconciler", ours: append(slices.Clone(protocols), "pkg/app/boot", "pkg/queue", "pkg/reconcile", "pkg/store"), others: []string{"golang.org/x/...", "github.com/prometheus/client_golang/..."}},
		{name: "pkg/app/console", ours: append(slices.Clone(protocols), "pkg/app/boot", "pkg/bus", "pkg/operator", "pkg/store"), others: []string{"golang.org/x/...", "github.com/prometheus/client_golang/..."}},
		{name: "pkg/app/doctor", ours: append(slices.Clone(protocols), "pkg/app/boot", "pkg/bus", "pkg/queue", "pkg/session", "pkg/store", "pkg/wechat")},
		{name: "pkg/app/devstack/...", ours: []string{"pkg/...", "schema", "deploy"}, others: []string{"database/sql", "github.com/nats-io/nats.go/...", "github.com/nats-io/nats.go", "github.com/jedib0t/go-pretty/v6/...", "github.com/spf13/cobra", "github.com/google/uuid", "golang.org/x/...", "go.yaml.in/yaml/v3"}},
		// published: what others may import
		{name: "pkg/subscribe", ours: []string{"pkg/event"}, others: []string{"database/sql", "github.com/nats-io/nats.go/...", "github.com/nats-io/nats.go"}},
		{name: "pkg/operatorapi", others: []string{"github.com/oapi-codegen/runtime", "github.com/oapi-codegen/runtime/types"}},
		// published stand-in and test parts: they see no room of ours but their own
		{name: "pkg/simulator/...", ours: []string{"pkg/simulator/..."}, others: []string{"github.com/go-chi/chi/v5/...", "github.com/go-chi/chi/v5", "github.com/google/uuid", "go.yaml.in/yaml/v3", "golang.org/x/...", "rsc.io/qr"}},
		{name: "pkg/testkit/...", ours: []string{"pkg/testkit/...", "pkg/pay", "schema"}, others: []string{"database/sql", "github.com/lib/pq", "github.com/nats-io/nats-server/v2/...", "github.com/nats-io/nats.go/...", "github.com/nats-io/nats.go", "github.com/alicebob/miniredis/v2", "github.com/getkin/kin-openapi/...", "github.com/google/uuid", "github.com/stretchr/testify/...", "golang.org/x/..."}},
		// 5: programs
		{name: "cmd/ingest", ours: []string{"pkg/app/ingest", "pkg/app/boot", "pkg/config"}},
		{name: "cmd/worker", ours: []string{"pkg/app/worker", "pkg/app/boot", "pkg/config"}},
		{name: "cmd/reconciler", ours: []string{"pkg/app/reconciler", "pkg/app/boot", "pkg/config"}},
		{name: "cmd/fenflow", ours: []string{"pkg/app/boot", "pkg/app/console", "pkg/app/doctor", "pkg/cli", "pkg/config", "pkg/operator", "pkg/pay", "pkg/problem", "pkg/store"}, others: []string{"golang.org/x/term"}},
		{name: "cmd/simulator", ours: []string{"pkg/simulator/..."}, others: []string{"github.com/spf13/cobra"}},
		{name: "cmd/devstack", ours: []string{"pkg/app/...", "pkg/config"}},
		{name: "deploy"}, // files that production, devstack and tests share
		{name: "examples/internal/street", ours: []string{"pkg/app/...", "pkg/config"}, others: []string{"github.com/stretchr/testify/require"}},
		{name: "examples/...", ours: []string{"pkg/event", "pkg/subscribe"}, others: []string{"database/sql", "github.com/lib/pq"}},
		{name: "e2e/...", ours: []string{"pkg/..."}, others: []string{"github.com/...", "golang.org/x/..."}},
		{name: "bench/...", ours: []string{"pkg/..."}, others: []string{"github.com/...", "golang.org/x/..."}},
	}
}

// useCaseLibraries are what a use case may lean on: no driver among them.
func useCaseLibraries() []string {
	return []string{"github.com/google/uuid", "golang.org/x/...", "github.com/prometheus/client_golang/..."}
}

type listedPackage struct {
	ImportPath string
	Standard   bool
	Module     *struct{ Path string }
	Imports    []string
	Deps       []string
	GoFiles    []string
}

func goList(t *testing.T, args ...string) []listedPackage {
	t.Helper()
	var stderr bytes.Buffer
	cmd := exec.CommandContext(t.Context(), "go", append([]string{"list", "-json=ImportPath,Standard,Module,Imports,Deps,GoFiles"}, args...)...)
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	require.NoError(t, err, stderr.String())
	var packages []listedPackage
	for dec := json.NewDecoder(bytes.NewReader(out)); ; {
		var p listedPackage
		err := dec.Decode(&p)
		if errors.Is(err, io.EOF) {
			return packages
		}
		require.NoError(t, err)
		packages = append(packages, p)
	}
}

func matches(patterns []string, name string) bool {
	return slices.ContainsFunc(patterns, func(p string) bool {
		if base, below := strings.CutSuffix(p, "/..."); below {
			return name == base || strings.HasPrefix(name, base+"/")
		}
		return p == name
	})
}

// isStandard: a path whose first element has no dot is the standard library's.
func isStandard(imported string) bool {
	return !strings.Contains(strings.SplitN(imported, "/", 2)[0], ".")
}

func TestLayering_every_package_opens_only_its_own_doors(t *testing.T) {
	t.Parallel()
	for _, p := range goList(t, "./...") {
		name := strings.TrimPrefix(p.ImportPath, module+"/")
		if len(p.GoFiles) == 0 {
			continue
		}
		i := slices.IndexFunc(plan(), func(r room) bool { return matches([]string{r.name}, name) })
		if !assertRoom(t, i, name) {
			continue
		}
		r := plan()[i]
		for _, imported := range p.Imports {
			ours, isOurs := strings.CutPrefix(imported, module+"/")
			switch {
			case isOurs && !matches(r.ours, ours):
				t.Errorf("%s imports %s: that door is shut (see the plan in layering_test.go)", name, ours)
			case !isOurs && (!isStandard(imported) || imported == "database/sql") && !matches(r.others, imported):
				t.Errorf("%s imports %s: that library belongs to another room", name, imported)
			}
		}
	}
}

func assertRoom(t *testing.T, i int, name string) bool {
	t.Helper()
	if i < 0 {
		t.Errorf("%s has no room in the plan: add one to layering_test.go, with what it may import", name)
	}
	return i >= 0
}

// The standard library's database/sql comes along with the metrics library;
// without a driver it opens nothing.
func TestLayering_the_edge_holds_no_database_and_no_server(t *testing.T) {
	t.Parallel()
	packages := goList(t, "./cmd/ingest")
	require.Len(t, packages, 1)
	for _, dep := range packages[0].Deps {
		for _, forbidden := range []string{"github.com/lib/pq", "github.com/jmoiron/sqlx", "github.com/pressly/goose", "github.com/nats-io/nats-server", "github.com/silenceper/wechat", module + "/pkg/wechat", module + "/pkg/store", module + "/pkg/simulator", module + "/pkg/testkit"} {
			require.False(t, dep == forbidden || strings.HasPrefix(dep, forbidden+"/"), "cmd/ingest reaches %s", dep)
		}
	}
}

// A business system brings its own driver, and none of fenflow's.
func TestLayering_the_inbox_brings_no_driver(t *testing.T) {
	t.Parallel()
	packages := goList(t, "./pkg/subscribe")
	require.Len(t, packages, 1)
	for _, dep := range packages[0].Deps {
		ours, isOurs := strings.CutPrefix(dep, module+"/")
		require.False(t, isOurs && ours != "pkg/event", "pkg/subscribe reaches %s", dep)
		for _, forbidden := range []string{"github.com/lib/pq", "github.com/jackc", "github.com/nats-io/nats-server"} {
			require.False(t, dep == forbidden || strings.HasPrefix(dep, forbidden+"/"), "pkg/subscribe reaches %s", dep)
		}
	}
}

func TestLayering_programs_are_doorways(t *testing.T) {
	t.Parallel()
	for _, p := range goList(t, "./cmd/...") {
		require.Equal(t, "cmd", path.Dir(strings.TrimPrefix(p.ImportPath, module+"/")), "programs live in cmd/<name>")
	}
}
