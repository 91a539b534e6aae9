package store

import (
	"errors"
	"net/url"
)

// checkURL insists on what must not be guessed: whether the connection is
// encrypted. The driver's default has changed before and may change again.
// No error here quotes the URL: it may hold a password.
func checkURL(raw string) error {
	u, err := url.Parse(raw)
	if err != nil || (u.Scheme != "postgres" && u.Scheme != "postgresql") {
		return errors.New("postgres.url must look like postgres://user@host:5432/database?sslmode=verify-full")
	}
	if u.Query().Get("sslmode") == "" {
		return errors.New("postgres.url must state sslmode, for example ?sslmode=verify-full (or disable on a loopback address)")
	}
	return nil
}
