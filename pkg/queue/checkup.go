package queue

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"
)

// pings is how often Redis is asked for a sign of life. The quickest counts: a busy
// moment of this machine makes some of them late, a busy or distant Redis all.
const pings = 5

// ServerState is what matters of a Redis.
type ServerState struct {
	Version string
	Policy  string // maxmemory-policy
	AOF     bool   // it keeps an append-only file
	AOFOK   bool   // and its last write to it worked
	Latency time.Duration
}

// LookAtServer asks a Redis about itself.
func LookAtServer(ctx context.Context, redisURL string) (ServerState, error) {
	options, err := parseURL(redisURL)
	if err != nil {
		return ServerState{}, err
	}
	options.MaxRetries = -1 // none: an answer that takes a second try is an answer
	client := redis.NewClient(options)
	defer func() { _ = client.Close() }()
	var took []time.Duration
	for range pings {
		asked := time.Now()
		if err := client.Ping(ctx).Err(); err != nil {
			return ServerState{}, fmt.Errorf("reach Redis: %w", err)
		}
		took = append(took, time.Since(asked))
	}
	text, err := client.Info(ctx, "server", "memory", "persistence").Result()
	if err != nil {
		return ServerState{}, fmt.Errorf("ask Redis about itself: %w", err)
	}
	facts := map[string]string{}
	for line := range strings.Lines(text) {
		if name, value, found := strings.Cut(strings.TrimSpace(line), ":"); found {
			facts[name] = value
		}
	}
	return ServerState{
		Version: facts["redis_version"], Policy: facts["maxmemory_policy"], Latency: slices.Min(took),
		AOF: facts["aof_enabled"] == "1", AOFOK: facts["aof_last_write_status"] != "err",
	}, nil
}
