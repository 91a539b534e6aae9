package deploy_test

import (
	"maps"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"go.yaml.in/yaml/v3"

	"github.com/fenflow/fenflow/deploy"
	"github.com/fenflow/fenflow/pkg/config"
)

// There is no Docker engine where the tests run, so the file is checked as
// data: its variables, ports, health checks and volumes against the code.
type composeFile struct {
	Services map[string]service        `yaml:"services"`
	Volumes  map[string]map[string]any `yaml:"volumes"`
}

type service struct {
	Image       string                                `yaml:"image"`
	Command     []string                              `yaml:"command"`
	Environment map[string]string                     `yaml:"environment"`
	Volumes     []string                              `yaml:"volumes"`
	Ports       []string                              `yaml:"ports"`
	Profiles    []string                              `yaml:"profiles"`
	Restart     string                                `yaml:"restart"`
	ReadOnly    bool                                  `yaml:"read_only"`
	DependsOn   map[string]struct{ Condition string } `yaml:"depends_on"`
	Healthcheck struct{ Test []string }               `yaml:"healthcheck"`
}

func compose(t *testing.T) composeFile {
	t.Helper()
	raw, err := os.ReadFile("../docker-compose.yml")
	require.NoError(t, err)
	var file composeFile
	require.NoError(t, yaml.Unmarshal(raw, &file))
	return file
}

func roles() map[string]config.Role {
	return map[string]config.Role{"ingest": config.RoleIngest, "worker": config.RoleWorker, "reconciler": config.RoleReconciler, "console": config.RoleConsole}
}

func TestCompose_has_every_part_with_a_health_check(t *testing.T) {
	t.Parallel()
	file := compose(t)
	require.Equal(t, []string{"console", "ingest", "migrate", "nats", "postgres", "reconciler", "redis", "simulator", "simulator-init", "worker"}, slices.Sorted(maps.Keys(file.Services)))
	require.Equal(t, "postgres:17", file.Services["postgres"].Image)
	require.True(t, strings.HasPrefix(file.Services["nats"].Image, "nats:2.15"))
	require.Equal(t, "redis:7", file.Services["redis"].Image)
	for name, s := range file.Services {
		if s.Restart == "no" { // one shot
			continue
		}
		require.NotEmpty(t, s.Healthcheck.Test, name)
	}
	require.Equal(t, []string{"simulator"}, file.Services["simulator"].Profiles)
	redis := strings.Join(file.Services["redis"].Command, " ")
	require.Contains(t, redis, "--appendonly yes")
	require.Contains(t, redis, "--maxmemory-policy noeviction")
	require.Equal(t, []string{"/usr/local/bin/fenflow", "migrate", "up"}, file.Services["migrate"].Command)
}

// What a role is given must make a configuration that the code accepts.
func TestCompose_variables_are_those_that_the_code_reads(t *testing.T) {
	t.Parallel()
	for name, role := range roles() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := compose(t).Services[name]
			path := t.TempDir() + "/fenflow.yaml"
			require.NoError(t, os.WriteFile(path, []byte(minimalConfig), 0o600))
			environment := maps.Clone(s.Environment)
			for variable, value := range environment {
				environment[variable] = placeholder().ReplaceAllString(value, "secret")
			}
			require.Equal(t, "/etc/fenflow/fenflow.yaml", environment["FENFLOW_CONFIG"])
			environment["FENFLOW_CONFIG"] = path
			var environ []string
			for variable, value := range environment {
				environ = append(environ, variable+"="+value)
			}
			c, err := config.Load(config.Options{Role: role, Environ: environ, Lookup: func(variable string) (string, bool) {
				value, ok := environment[variable]
				return value, ok
			}})
			require.NoError(t, err)
			require.Equal(t, "nats://nats:4222", c.NATS.URL)
			require.Equal(t, []string{"http://nats:8222"}, c.NATS.MonitorURLs)
			require.Equal(t, []string{"CMD", "/usr/local/bin/fenflow", "health", "http://127.0.0.1" + c.Listen.Admin + "/readyz"}, s.Healthcheck.Test)
			if role == config.RoleConsole {
				require.Equal(t, []string{"127.0.0.1:8083" + c.Listen.Console}, s.Ports, "operators come from this host")
				require.Equal(t, []string{"/usr/local/bin/fenflow", "console"}, s.Command)
			}
			if role == config.RoleIngest {
				require.Contains(t, s.Ports, "8080"+c.Listen.Notify)
				require.Contains(t, s.Ports, "127.0.0.1:8081"+c.Listen.API, "the business API is private")
				require.Contains(t, s.Ports, "8082"+c.Listen.Front, "buyers come from everywhere")
				require.True(t, c.Front.Open())
				require.Contains(t, s.Volumes, "./merchant/"+sessionPublicKey+":/etc/fenflow/"+sessionPublicKey+":ro")
			}
		})
	}
}

func placeholder() *regexp.Regexp { return regexp.MustCompile(`\$\{[^}]*\}`) }

const minimalConfig = `
merchants:
  - {mchid: "1900000109", merchant_serial: "5157F09EFDC096DE", private_key_file: key.pem, api_v3_key_files: [v3.key], apps: [{appid: wx8888888888888888}],
     wechatpay_public_keys: [{id: PUB_KEY_ID_0000000000000024101100397200000006, file: pub_key.pem}]}
public_url: https://pay.example.com
front: {session_public_key_files: [` + sessionPublicKey + `]}
`

// sessionPublicKey is where `fenflow key session` puts it, below the merchant's folder.
const sessionPublicKey = "secrets/session.pub"

func TestCompose_gives_the_edge_no_secret(t *testing.T) {
	t.Parallel()
	edge := compose(t).Services["ingest"]
	require.Equal(t, []string{
		"./merchant/fenflow.yaml:/etc/fenflow/fenflow.yaml:ro",
		"./merchant/secrets/pub_key.pem:/etc/fenflow/secrets/pub_key.pem:ro",
		"./merchant/secrets/session.pub:/etc/fenflow/secrets/session.pub:ro",
	}, edge.Volumes)
	require.NotContains(t, edge.Environment, "FENFLOW_POSTGRES_URL")
	require.NotContains(t, edge.Environment, "FENFLOW_NATS_WORKER_PASSWORD")
	require.True(t, edge.ReadOnly)
	require.Equal(t, "service_healthy", edge.DependsOn["worker"].Condition)
}

func TestCompose_gives_the_console_the_books_and_no_secret_of_a_merchant(t *testing.T) {
	t.Parallel()
	services := compose(t).Services
	console := services["console"]
	require.Equal(t, services["ingest"].Volumes, console.Volumes)
	require.Contains(t, console.Environment, "FENFLOW_POSTGRES_URL")
	for name := range console.Environment {
		require.True(t, !strings.Contains(name, "PASSWORD") || name == "FENFLOW_NATS_CONSOLE_PASSWORD", name)
	}
	require.True(t, console.ReadOnly)
	require.Equal(t, "service_completed_successfully", console.DependsOn["migrate"].Condition)
	require.Equal(t, "service_healthy", console.DependsOn["nats"].Condition)
}

// Every password that nats.conf asks for is given to the broker, explained in
// .env.example, and given to the one role whose user it is.
func TestCompose_passwords_of_nats(t *testing.T) {
	t.Parallel()
	services := compose(t).Services
	example, err := os.ReadFile("../.env.example")
	require.NoError(t, err)
	asked := regexp.MustCompile(`\$(FENFLOW_NATS_[A-Z]+_PASSWORD)`).FindAllStringSubmatch(string(deploy.NATSConf()), -1)
	require.Len(t, asked, 7)
	holders := map[string]string{"NOTIFY": "ingest", "API": "ingest", "FRONT": "ingest", "WORKER": "worker", "RECONCILER": "reconciler", "CONSOLE": "console"}
	for _, match := range asked {
		variable := match[1]
		require.Contains(t, services["nats"].Environment, variable)
		require.Contains(t, string(example), variable+"=")
		for name := range roles() {
			_, given := services[name].Environment[variable]
			user := strings.TrimSuffix(strings.TrimPrefix(variable, "FENFLOW_NATS_"), "_PASSWORD")
			require.Equal(t, holders[user] == name, given, "%s for %s", variable, name)
		}
	}
	require.Contains(t, string(deploy.NATSConf()), "sync_interval: always")
	require.Contains(t, services["nats"].Volumes, "nats:/data")
	require.Contains(t, string(deploy.NATSConf()), `store_dir: "/data/jetstream"`)
	// The folder and not the file: editors put a new file in the place of the old one,
	// and a mounted file would stay the old one.
	require.Contains(t, services["nats"].Volumes, "./deploy/subscribers:/etc/nats/subscribers:ro")
	require.Contains(t, string(deploy.NATSConf()), `include "`+deploy.SubscriberAccountsFile+`"`)
}

// The image holds every program that a service starts, and no shell.
func TestDockerfile_builds_every_program(t *testing.T) {
	t.Parallel()
	raw, err := os.ReadFile("../Dockerfile")
	require.NoError(t, err)
	for name, s := range compose(t).Services {
		program, ours := strings.CutPrefix(strings.Join(s.Command, " "), "/usr/local/bin/")
		if !ours {
			continue
		}
		require.Regexp(t, `\./cmd/`+strings.Fields(program)[0]+`\b`, string(raw), name)
	}
	require.Contains(t, string(raw), "distroless/static-debian12:nonroot")
	require.Contains(t, string(raw), "USER nonroot")
}
