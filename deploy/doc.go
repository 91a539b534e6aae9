// Package deploy holds the files that production, the development stack and
// the tests share, so that nothing is tried under other rules than it will
// run under.
package deploy

import _ "embed"

//go:embed nats.conf
var natsConf []byte

// NATSConf is nats.conf: JetStream that syncs always, and what each role may
// publish and read.
func NATSConf() []byte { return natsConf }
