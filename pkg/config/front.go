package config

import (
	"cmp"
	"crypto/ed25519"
	"errors"
	"slices"
	"strings"

	"github.com/fenflow/fenflow/pkg/merchant"
	"github.com/fenflow/fenflow/pkg/problem"
)

// Open says whether this role serves buyers.
func (f Front) Open() bool { return len(f.SessionPublicKeyFiles) > 0 }

// FrontURL is where buyers reach the front door, without a slash at its end.
func (c Config) FrontURL() string {
	return strings.TrimRight(cmp.Or(c.Front.URL, c.PublicURL), "/")
}

// SessionKey reads the key that signs buyers' sessions; nil where none is set.
func (f Front) SessionKey() (ed25519.PrivateKey, error) {
	if f.SessionKeyFile == "" {
		return nil, nil
	}
	key, err := merchant.LoadSessionKey(f.SessionKeyFile)
	if err != nil {
		return nil, problem.Wrap(problem.SecretUnreadable, err, "")
	}
	return key, nil
}

// SessionPublicKeys reads the keys that sessions are verified with.
func (f Front) SessionPublicKeys() ([]ed25519.PublicKey, error) {
	var keys []ed25519.PublicKey
	var problems []error
	for _, file := range f.SessionPublicKeyFiles {
		key, err := merchant.LoadSessionPublicKey(file)
		problems = append(problems, err)
		if err == nil {
			keys = append(keys, key)
		}
	}
	if err := errors.Join(problems...); err != nil {
		return keys, problem.Wrap(problem.SecretUnreadable, err, "")
	}
	return keys, nil
}

// CheckSessionKey reads the key that signs, and says when nobody would take what it
// signs: its public half is none of those that sessions are verified with.
func (f Front) CheckSessionKey() error {
	key, err := f.SessionKey()
	if key == nil || err != nil {
		return err
	}
	if verify, wrong := f.SessionPublicKeys(); wrong != nil || len(verify) == 0 || slices.ContainsFunc(verify, func(half ed25519.PublicKey) bool {
		return half.Equal(key.Public())
	}) {
		return nil //nolint:nilerr // the public halves that cannot be read are told with the snapshot
	}
	return problem.Newf(problem.SecretUnreadable, "front.session_key_file: %s belongs to none of front.session_public_key_files: "+
		"every session would be refused; name the session.pub that was made with it", f.SessionKeyFile)
}
