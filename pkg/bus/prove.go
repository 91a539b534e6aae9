package bus

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

const (
	monitorTimeout = 3 * time.Second
	maxMonitorBody = 8 << 20 // thousands of connections
)

// Verdict says whether an acknowledgement of the broker means "on disk". Each
// problem names the setting and what to do.
type Verdict struct {
	OK        bool      `json:"ok"`
	Problems  []string  `json:"problems,omitempty"`
	Servers   []string  `json:"servers,omitempty"` // ids of the servers that were looked at; new with each of their starts
	CheckedAt time.Time `json:"checked_at"`
}

// Prove looks at the monitoring port of each server and at each stream. What
// it cannot look at is a problem, too: no proof, no traffic.
func (b *Bus) Prove(ctx context.Context, monitorURLs []string) Verdict {
	v := Verdict{CheckedAt: time.Now().UTC()}
	if len(monitorURLs) == 0 {
		v.Problems = append(v.Problems, "nats.monitor_urls is empty: sync_interval of the NATS servers cannot be proven; "+
			"list the monitoring port of every server, such as http://nats:8222")
	}
	names := map[string]bool{}
	for _, url := range monitorURLs {
		server, err := readServer(ctx, url)
		if err != nil {
			v.Problems = append(v.Problems, fmt.Sprintf("monitoring port %s: %v; nats.monitor_urls must name the http port of every NATS server", url, err))
			continue
		}
		names[server.Name] = true
		v.Servers = append(v.Servers, server.ID)
		v.Problems = append(v.Problems, server.problems(url)...)
	}
	v.Problems = append(v.Problems, b.proveConnection(v.Servers)...)
	for _, want := range b.streamConfigs() {
		v.Problems = append(v.Problems, b.proveStream(ctx, want, names)...)
	}
	slices.Sort(v.Problems)
	v.Problems = slices.Compact(v.Problems)
	v.OK = len(v.Problems) == 0
	return v
}

// monitored is what /varz of nats-server 2.15.2 says about durability
// (server/monitor.go, JetStreamVarz; server/jetstream.go, JetStreamConfig).
type monitored struct {
	ID        string `json:"server_id"`
	Name      string `json:"server_name"`
	JetStream struct {
		Config *struct {
			SyncAlways   bool          `json:"sync_always"`
			SyncInterval time.Duration `json:"sync_interval"`
		} `json:"config"`
	} `json:"jetstream"`
}

func readServer(ctx context.Context, url string) (monitored, error) {
	var server monitored
	if err := readMonitor(ctx, url, "/varz", &server); err != nil {
		return monitored{}, err
	}
	if server.ID == "" {
		return monitored{}, fmt.Errorf("read /varz: is not that of a NATS server")
	}
	return server, nil
}

// readMonitor reads one document of a server's monitoring port.
func readMonitor(ctx context.Context, url, path string, into any) error {
	ctx, cancel := context.WithTimeout(ctx, monitorTimeout)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, strings.TrimSuffix(url, "/")+path, nil)
	if err != nil {
		return fmt.Errorf("make request: %w", err)
	}
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	response, err := client.Do(request)
	if err != nil {
		return err //nolint:wrapcheck // names method and address itself
	}
	defer func() { _ = response.Body.Close() }()
	if response.StatusCode != http.StatusOK {
		return fmt.Errorf("answers %s", response.Status)
	}
	if err := json.NewDecoder(io.LimitReader(response.Body, maxMonitorBody)).Decode(into); err != nil {
		name, _, _ := strings.Cut(path, "?")
		return fmt.Errorf("read %s: %w", name, err)
	}
	return nil
}

func (m monitored) problems(url string) []string {
	switch {
	case m.JetStream.Config == nil:
		return []string{fmt.Sprintf("server %s (%s): JetStream is off; set a jetstream block in its configuration", m.Name, url)}
	case !m.JetStream.Config.SyncAlways:
		return []string{fmt.Sprintf("server %s (%s): jetstream.sync_interval is %s, must be always: "+
			"what it acknowledges is not on disk yet; set `sync_interval: always` and restart it", m.Name, url, m.JetStream.Config.SyncInterval)}
	}
	return nil
}

// proveConnection finds monitoring ports that belong to some other broker.
func (b *Bus) proveConnection(servers []string) []string {
	id := b.ServerID()
	switch {
	case id == "":
		return []string{"NATS is away: nothing can be proven; see nats.url"}
	case !slices.Contains(servers, id):
		return []string{fmt.Sprintf("the NATS server behind nats.url (%s) is not among nats.monitor_urls; add its monitoring port", b.conn.ConnectedServerName())}
	}
	return nil
}

func (b *Bus) proveStream(ctx context.Context, want jetstream.StreamConfig, names map[string]bool) []string {
	ctx, cancel := context.WithTimeout(ctx, monitorTimeout)
	defer cancel()
	stream, err := b.js.Stream(ctx, want.Name)
	if err != nil {
		return []string{fmt.Sprintf("stream %s: %v; a worker makes it at its start", want.Name, err)}
	}
	info := stream.CachedInfo()
	var problems []string
	_, drifts := mend(want, info)
	for _, d := range drifts {
		problems = append(problems, d.String())
	}
	return append(problems, unprovenHolders(want.Name, info.Cluster, names)...)
}

// unprovenHolders finds servers that hold a stream and were not looked at.
func unprovenHolders(stream string, cluster *jetstream.ClusterInfo, names map[string]bool) []string {
	if cluster == nil {
		return nil
	}
	holders := []string{cluster.Leader}
	for _, peer := range cluster.Replicas {
		holders = append(holders, peer.Name)
	}
	var problems []string
	for _, name := range holders {
		if name != "" && !names[name] {
			problems = append(problems, fmt.Sprintf("stream %s: server %s holds it, but no URL of nats.monitor_urls shows its settings; add it", stream, name))
		}
	}
	return problems
}

const keyDurability = "durability"

// PutVerdict writes the verdict beside the platform keys, where ingest sees it.
func (b *Bus) PutVerdict(ctx context.Context, v Verdict) error {
	data, err := json.Marshal(v)
	if err != nil {
		return fmt.Errorf("put durability verdict: %w", err)
	}
	if err := b.putKey(ctx, keyDurability, data); err != nil {
		return fmt.Errorf("put durability verdict: %w", err)
	}
	return nil
}

func (b *Bus) putKey(ctx context.Context, key string, value []byte) error {
	err := b.publish(ctx, &nats.Msg{Subject: keyPrefix + key, Data: value}, streamKeys)
	return err
}
