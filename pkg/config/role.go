package config

import "github.com/fenflow/fenflow/pkg/merchant"

// Role is who reads the configuration. It decides what they are given.
type Role string

// The roles. RoleAny sees every setting and opens no secret file: it is for
// showing a configuration, not for running.
const (
	RoleAny        Role = ""
	RoleIngest     Role = "ingest"
	RoleWorker     Role = "worker"
	RoleReconciler Role = "reconciler"
	RoleConsole    Role = "console"
	RoleCLI        Role = "cli"
)

// Roles lists the roles that run.
func Roles() []Role { return []Role{RoleIngest, RoleWorker, RoleReconciler, RoleConsole} }

// holdsSecrets says whether the role may open the merchants' secret files.
func (r Role) holdsSecrets() bool { return r == RoleWorker || r == RoleReconciler }

// required lists the keys that a role cannot run without.
func (r Role) required() []string {
	switch r {
	case RoleIngest:
		return []string{"merchants", "nats.url"}
	case RoleWorker:
		return []string{"merchants", "nats.url", "postgres.url", "public_url"}
	case RoleReconciler:
		return []string{"merchants", "postgres.url", "public_url"}
	case RoleConsole:
		return []string{"postgres.url"}
	case RoleCLI, RoleAny:
	}
	return nil
}

// Lacks lists the keys that a role cannot run without and that are not set:
// where the role is meant to run elsewhere, that is no mistake.
func (c Config) Lacks(r Role) []string {
	var lacking []string
	for _, key := range r.required() {
		_, isSet := c.loaded.origins[key]
		if key == "merchants" {
			isSet = len(c.Entries) > 0
		}
		if !isSet {
			lacking = append(lacking, key)
		}
	}
	return lacking
}

// NATSPassword is the password of a NATS user (notify, api, front, worker,
// reconciler, console). It is empty for a user that this role may not be.
func (c Config) NATSPassword(user string) merchant.Secret {
	switch user {
	case "notify":
		return c.NATS.Passwords.Notify
	case "api":
		return c.NATS.Passwords.API
	case "front":
		return c.NATS.Passwords.Front
	case "worker":
		return c.NATS.Passwords.Worker
	case "reconciler":
		return c.NATS.Passwords.Reconciler
	case "console":
		return c.NATS.Passwords.Console
	}
	return ""
}
