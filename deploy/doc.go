// Package deploy holds the files that production, the development stack and
// the tests share, so that nothing is tried under other rules than it will
// run under.
package deploy

import (
	_ "embed"
	"slices"
)

var (
	//go:embed nats.conf
	natsConf []byte
	//go:embed subscribers/accounts.conf
	subscriberAccounts []byte
)

// SubscriberAccountsFile is where nats.conf looks, beside itself, for the accounts
// of business systems.
const SubscriberAccountsFile = "subscribers/accounts.conf"

// NATSConf is nats.conf: JetStream that syncs always, and what each role may
// publish and read.
func NATSConf() []byte { return slices.Clone(natsConf) }

// SubscriberAccounts is the file of accounts as it is shipped: without any.
func SubscriberAccounts() []byte { return slices.Clone(subscriberAccounts) }
