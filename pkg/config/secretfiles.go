package config

import (
	"net/url"
	"strings"
)

// SecretFile is a file that nobody but its role should read.
type SecretFile struct {
	Key  string // that names the file, or whose secret stands in it
	File string
}

// SecretFiles lists the files that hold secrets: those that are named as such,
// and the configuration file where a password stands in it. A merchant's API
// certificate is none: it is shown to whoever asks.
func (c Config) SecretFiles() []SecretFile {
	var all []SecretFile
	add := func(key string, files ...string) {
		for _, file := range files {
			if file != "" {
				all = append(all, SecretFile{key, file})
			}
		}
	}
	for _, f := range fieldsOf(&c) {
		waiting, waits := c.loaded.pending[f.key]
		switch value := f.value.Interface().(type) {
		case string:
			if f.kind == kindSecretFile && !strings.HasPrefix(f.key, "nats.password_files.") && !strings.HasSuffix(f.key, ".client_certificate_file") {
				add(f.key, value)
			}
		case []string:
			if f.kind == kindSecretFile {
				add(f.key, value...)
			}
		default:
			if waits { // the text of a secret is still in its file
				add(f.key, waiting)
			} else if f.secret() && c.loaded.origins[f.key].File != "" && hasPassword(f.value.String()) {
				add(f.key, c.loaded.file)
			}
		}
	}
	return all
}

func hasPassword(secret string) bool {
	u, err := url.Parse(secret)
	if err != nil || u.Host == "" {
		return secret != ""
	}
	_, has := u.User.Password()
	return has || strings.Contains(strings.ToLower(u.RawQuery), "pass")
}
