package doctor

import (
	"context"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/fenflow/fenflow/pkg/bus"
)

// How far a NATS server's clock may be off: ages of what is stored go by it.
const (
	natsSkewWarn = time.Second
	natsSkewFail = 30 * time.Second
)

// The versions of nats-server: atomic batches came with 2.12, and fenflow is
// tested with 2.15, which repaired faults of "always" (nats-server #8475, #8456).
const (
	natsOldestMinor = 12
	natsTestedMinor = 15
)

// Free space below which a disk is told of.
const (
	diskWarn = 1 << 30
	diskFail = 256 << 20
)

// natsServer looks at one server through its monitoring port.
func (d *doctor) natsServer(address string) []check {
	var state bus.ServerState
	host := hostOf(address)
	monitor := check{name: "nats.monitor", subject: host, look: func(ctx context.Context) []outcome {
		var err error
		if state, err = bus.LookAtServer(ctx, address); err != nil {
			return fail("Name the http port of every NATS server in nats.monitor_urls, and let this machine reach it.", "%v", err)
		}
		return natsVersion(state)
	}}
	after := []string{monitor.id()}
	return []check{
		monitor,
		{name: "nats.clock", subject: host, needs: after, look: func(context.Context) []outcome {
			return skew(state.Now, state.AskedAt, state.Blur, natsSkewWarn, natsSkewFail, "the NATS server's clock", "The age of what is stored goes by it.")
		}},
		{name: "nats.storage", subject: host, needs: after, look: func(context.Context) []outcome { return natsStorage(state) }},
	}
}

func natsVersion(s bus.ServerState) []outcome {
	major, rest, _ := strings.Cut(s.Version, ".")
	minor, _, _ := strings.Cut(rest, ".")
	m, err := strconv.Atoi(minor)
	switch {
	case err != nil || major != "2": // a version that nobody knew when this was written
		return warn("Use nats-server 2.15.", "server %s is version %s, and fenflow is tested with 2.15", s.Name, s.Version)
	case m < natsOldestMinor:
		return fail("Upgrade to nats-server 2.15 or newer.", "server %s is version %s, which has no atomic batches", s.Name, s.Version)
	case m < natsTestedMinor:
		return warn("Upgrade to nats-server 2.15 or newer.", "server %s is version %s; older ones than 2.15 have faults under sync_interval always", s.Name, s.Version)
	}
	return ok("server %s, version %s", s.Name, s.Version)
}

// natsStorage compares what the streams may hold with what there is. A server
// does not say how full its disk is; where it is this machine's, that is seen.
func natsStorage(s bus.ServerState) []outcome {
	wanted := bus.Limits{}.ReservedBytes()
	if s.MaxStore > 0 && s.MaxStore < wanted {
		return fail("Raise jetstream.max_file_store in nats.conf and restart the server.",
			"max_file_store is %s, and the streams may hold %s", size(s.MaxStore), size(wanted))
	}
	said := fmt.Sprintf("room for the streams (%s), %s stored", size(wanted), size(int64(s.UsedStore)))
	if _, err := os.Stat(s.StoreDir); s.StoreDir == "" || err != nil {
		return ok("%s; the free space of its disk is not to be seen from here", said)
	}
	free, known := freeBytes(s.StoreDir)
	const fix = "Make room on the disk of jetstream.store_dir: when it is full, WeChat Pay is answered 503."
	switch {
	case !known:
		return ok("%s", said)
	case free < diskFail:
		return fail(fix, "%s are free on the disk of %s", size(free), s.StoreDir)
	case free < diskWarn:
		return warn(fix, "%s are free on the disk of %s", size(free), s.StoreDir)
	}
	return ok("%s, and on its disk", said)
}

func size(n int64) string {
	switch {
	case n >= 1<<30:
		return fmt.Sprintf("%.1f GiB", float64(n)/(1<<30))
	case n >= 1<<20:
		return fmt.Sprintf("%d MiB", n>>20)
	}
	return fmt.Sprintf("%d KiB", n>>10)
}
