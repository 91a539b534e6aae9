package doctor

import (
	"context"
	"slices"
	"sync"
	"time"

	"github.com/fenflow/fenflow/pkg/bus"
	"github.com/fenflow/fenflow/pkg/config"
	"github.com/fenflow/fenflow/pkg/store"
)

// Options say what to look at.
type Options struct {
	// Load reads the configuration for a role, as the role itself would.
	Load    func(config.Role) (config.Config, error)
	Role    config.Role // only what this role needs; RoleAny: every role that is set up here
	Offline bool        // ask no host of WeChat's or WeChat Pay's, and not front.url
	Now     func() time.Time
}

// Examine looks at everything and gives a finding for each thing, in a fixed order.
func Examine(ctx context.Context, o Options) []Finding {
	if o.Now == nil {
		o.Now = time.Now
	}
	d := &doctor{Options: o, roles: map[config.Role]loaded{}}
	d.load()
	defer d.leave()
	return run(ctx, d.checks())
}

// doctor is one examination. What a check opens others use after it, and only
// after it was found well.
type doctor struct {
	Options

	all   loaded                 // of no role: every setting, no secret that is in a file of its own
	roles map[config.Role]loaded // those that are looked at

	books  *store.Store // opened by postgres.reachable
	worker *bus.Bus     // by nats.user/worker
	notify *bus.Bus     // by nats.user/notify

	mu     sync.Mutex
	opened []func()
}

// loaded is a configuration as far as it could be read.
type loaded struct {
	config.Config

	err error
}

// load reads the configuration once for each role. A role that lacks what it
// cannot run without is meant to run elsewhere, unless it was asked for.
func (d *doctor) load() {
	d.all.Config, d.all.err = d.Load(config.RoleAny)
	for _, role := range config.Roles() {
		if d.Role == role || d.Role == config.RoleAny && len(d.all.Lacks(role)) == 0 {
			c, err := d.Load(role)
			d.roles[role] = loaded{c, err}
		}
	}
}

// of is the configuration of the first of some roles that is looked at.
func (d *doctor) of(roles ...config.Role) (config.Config, bool) {
	for _, role := range roles {
		if c, there := d.roles[role]; there {
			return c.Config, true
		}
	}
	return config.Config{}, false
}

// concerns says whether one of some roles is looked at.
func (d *doctor) concerns(roles ...config.Role) bool {
	return slices.ContainsFunc(roles, func(r config.Role) bool { _, there := d.roles[r]; return there })
}

// keep remembers what to close at the end.
func (d *doctor) keep(leave func()) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.opened = append(d.opened, leave)
}

// leave closes what was opened, without waiting for what hangs.
func (d *doctor) leave() {
	d.mu.Lock()
	opened := slices.Clone(d.opened)
	d.mu.Unlock()
	left := make(chan struct{})
	go func() {
		defer close(left)
		for _, one := range opened {
			one()
		}
	}()
	select {
	case <-left:
	case <-time.After(time.Second):
	}
}

// checks is the plan: what there is to look at, in the order in which it is told.
func (d *doctor) checks() []check {
	return slices.Concat(d.configuration(), d.postgres(), d.nats(), d.redis(), d.wechatpay(), d.front(), d.wechat(), d.traffic(), d.host())
}
