package config

import (
	"fmt"
	"net/url"
	"reflect"
	"strings"
	"time"
)

// Setting is one line of `config show`.
type Setting struct {
	Key    string `json:"key"`
	Value  string `json:"value"`
	Origin string `json:"origin"`
}

const redacted = "[redacted]"

// Show lists every setting with its value and origin. Secrets are redacted.
func (c Config) Show() []Setting {
	var all []Setting
	for _, f := range fieldsOf(&c) {
		origin := c.loaded.origins[f.key]
		shown := f.show()
		if _, waits := c.loaded.pending[f.key]; waits {
			shown = redacted
		}
		all = append(all, Setting{Key: f.key, Value: shown, Origin: origin.String()})
	}
	return all
}

func (f field) show() string {
	switch value := f.value.Interface().(type) {
	case []string:
		return strings.Join(value, ", ")
	case time.Duration:
		return value.String()
	}
	if !f.secret() {
		return fmt.Sprint(f.value.Interface())
	}
	if f.value.String() == "" {
		return ""
	}
	if strings.HasSuffix(f.key, ".url") {
		return showURL(reflect.ValueOf(f.value.Interface()).String())
	}
	return redacted
}

// showURL keeps what helps (who, where) and hides what opens the door.
func showURL(text string) string {
	u, err := url.Parse(text)
	if err != nil || u.Host == "" {
		return redacted
	}
	shown := u.Scheme + "://"
	if u.User != nil {
		shown += u.User.Username()
		if _, has := u.User.Password(); has {
			shown += ":" + redacted
		}
		shown += "@"
	}
	shown += u.Host + u.Path
	var kept []string
	for part := range strings.SplitSeq(u.RawQuery, "&") {
		name, _, _ := strings.Cut(part, "=")
		if strings.Contains(strings.ToLower(name), "pass") {
			part = name + "=" + redacted
		}
		kept = append(kept, part)
	}
	if u.RawQuery != "" {
		shown += "?" + strings.Join(kept, "&")
	}
	return shown
}
