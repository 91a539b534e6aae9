package doctor

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/fenflow/fenflow/pkg/bus"
	"github.com/fenflow/fenflow/pkg/config"
	"github.com/fenflow/fenflow/pkg/pay"
)

// How long something may wait for a worker. What is in hand for a minute is
// handed out again; after five, nobody is at work.
const (
	lagWarn = time.Minute
	lagFail = 5 * time.Minute
)

// verdictOld: a worker proves each 30 s (proveEvery in app/worker).
const verdictOld = 2 * time.Minute

// natsStreams looks at what the worker makes: streams, consumers, its verdict.
func (d *doctor) natsStreams() []check {
	var checks []check
	if d.concerns(config.RoleWorker) {
		after := []string{natsReachable, natsUserWorker}
		checks = append(checks,
			check{name: "nats.durability", needs: after, look: d.natsDurability},
			check{name: "nats.streams", needs: after, look: d.natsDrift},
		)
		worker := d.roles[config.RoleWorker]
		var mchids []pay.MchID
		for _, m := range worker.Merchants() {
			mchids = append(mchids, m.MchID)
		}
		for _, c := range bus.WorkerConsumers(worker.Waits.AckWait, mchids) {
			checks = append(checks, check{name: "nats.consumer", subject: c.Name(), needs: after, look: func(ctx context.Context) []outcome { return d.natsConsumer(ctx, c) }})
		}
	}
	if d.concerns(config.RoleIngest) {
		checks = append(checks, check{name: "nats.verdict", needs: []string{natsReachable, natsUserNotify}, look: d.natsVerdict})
	}
	return checks
}

// isDrift tells a stream's own settings from what the servers do with all of them.
func isDrift(problem string) bool { return strings.HasPrefix(problem, "stream ") }

func (d *doctor) natsDurability(ctx context.Context) []outcome {
	var found []outcome
	for _, p := range d.worker.Prove(ctx, d.roles[config.RoleWorker].NATS.MonitorURLs).Problems {
		if !isDrift(p) {
			found = append(found, failed(p))
		}
	}
	if len(found) > 0 {
		return found
	}
	return ok("every server syncs before it acknowledges (sync_interval: always)")
}

// failed takes a problem of bus.Prove apart: what, and after the last semicolon
// what to do.
func failed(problem string) outcome {
	if i := strings.LastIndex(problem, "; "); i >= 0 {
		return outcome{Fail, problem[:i], capital(problem[i+2:]) + "."}
	}
	return outcome{Fail, problem, "Start a worker: it makes and mends what it can, and says what it cannot."}
}

func (d *doctor) natsDrift(ctx context.Context) []outcome {
	var found []outcome
	for _, p := range d.worker.Prove(ctx, d.roles[config.RoleWorker].NATS.MonitorURLs).Problems {
		if isDrift(p) {
			found = append(found, failed(p))
		}
	}
	if len(found) > 0 {
		return found
	}
	fills, err := d.worker.StreamFills(ctx)
	if err != nil {
		return unread(err)
	}
	const fix = "Look whether a worker runs and keeps up; when the stream is full, publishing fails."
	for _, f := range fills {
		said := fmt.Sprintf("stream %s holds %s of %s", f.Stream, size(int64(f.Bytes)), size(f.MaxBytes))
		switch {
		case f.Stream == bus.StreamRejected: // old ones drop
		case f.Fill == bus.FillAlarm:
			found = append(found, outcome{Fail, said, fix})
		case f.Fill == bus.FillWarn:
			found = append(found, outcome{Warn, said, fix})
		}
	}
	if len(found) > 0 {
		return found
	}
	return ok("%s, as they must be, with room", counted(len(fills), "stream"))
}

func (d *doctor) natsConsumer(ctx context.Context, c bus.Consumer) []outcome {
	s, err := d.worker.ConsumerState(ctx, c)
	switch {
	case err != nil:
		return unread(err)
	case s.Missing:
		return fail("Start a worker, which makes it.", "is not there: nothing of stream %s is settled", s.Stream)
	case len(s.Drifts) > 0:
		return fail("Restart a worker, which mends it; a deliver_policy cannot be mended: delete the consumer, and the next worker begins with the first message.", "%s", strings.Join(s.Drifts, "; "))
	case s.Pending == 0:
		return ok("nothing waits")
	}
	said := counted(int(s.Pending), "message") + " waiting"
	if s.OldestAt.IsZero() {
		return ok("%s", said)
	}
	age := d.Now().Sub(s.OldestAt)
	said += fmt.Sprintf(", the oldest for %s", age.Round(time.Second))
	const fix = "Look whether a worker runs (`fenflow status`), and at its log."
	switch {
	case age >= lagFail:
		return fail(fix, "%s", said)
	case age >= lagWarn:
		return warn(fix, "%s", said)
	}
	return ok("%s", said)
}

// natsVerdict reads what the edge goes by: without a good one it takes no traffic.
func (d *doctor) natsVerdict(ctx context.Context) []outcome {
	v, err := d.notify.ReadVerdict(ctx)
	switch {
	case err != nil:
		return fail("Start a worker, which makes the bucket platform_keys.", "%v", err)
	case v == nil:
		return fail("Start a worker.", "no worker has written one: ingest takes no traffic")
	case !v.OK:
		return fail("Mend what it names; the next proof comes within seconds.", "it is bad, and ingest takes no traffic: %s", strings.Join(v.Problems, "; "))
	}
	age := d.Now().Sub(v.CheckedAt)
	if age > verdictOld {
		return warn("Look whether a worker runs (`fenflow status`).", "it is good, and %s old: a worker proves it each 30 s", age.Round(time.Second))
	}
	return ok("it is good, and not older than %s", verdictOld)
}
