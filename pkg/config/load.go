package config

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/fenflow/fenflow/pkg/merchant"
)

// FileVariable names the configuration file in the environment.
const FileVariable = "FENFLOW_CONFIG"

// defaultFile is read when no other is named and it exists.
const defaultFile = "fenflow.yaml"

// maxFileBytes bounds the configuration file; a merchant takes about 1 KiB.
const maxFileBytes = 4 << 20

// Options say what to load, and for whom.
type Options struct {
	File    string                      // empty: FENFLOW_CONFIG, then fenflow.yaml if it is there
	Lookup  func(string) (string, bool) // os.LookupEnv in programs; nil: no environment
	Environ []string                    // os.Environ(); only to find misspelt variables
	Flags   map[string]string           // key such as listen.admin to value
	Role    Role
}

// loaded is what Load remembers beside the values.
type loaded struct {
	options Options
	role    Role
	file    string
	origins map[string]Origin // by key; absent: default
	pending map[string]string // secret keys whose text is still in a file
	broken  map[string]bool   // keys that have a problem already
	notices []Problem
}

// Load reads file, environment and flags, in this order, and gives the role
// what it may hold. All problems come at once, as one error of kind
// problem.Config with a field for each.
func Load(o Options) (Config, error) {
	if o.Lookup == nil {
		o.Lookup = func(string) (string, bool) { return "", false }
	}
	l := &loader{options: o, origins: map[string]Origin{}, pending: map[string]string{}}
	var c Config
	l.readFile(&c)
	l.readEnvironment(&c)
	l.readFlags(&c)
	l.setDefaults(&c)
	l.passwordFiles(&c)
	c.loaded = loaded{options: o, file: l.file, origins: l.origins, pending: l.pending, broken: l.broken(), notices: l.notices}
	narrowed, problems := c.narrow(o.Role)
	return narrowed, append(l.problems, problems...).asError()
}

// For narrows a configuration that was loaded for any role to what one role
// may hold, reads its passwords, and checks what that role needs.
func (c Config) For(role Role) (Config, error) {
	narrowed, problems := c.narrow(role)
	return narrowed, problems.asError()
}

// File is the YAML file that was read; empty if there is none.
func (c Config) File() string { return c.loaded.file }

// Role is the role that the configuration was narrowed to.
func (c Config) Role() Role { return c.loaded.role }

// String names file and role. A configuration is never printed as a whole: it
// holds secrets, and what it was loaded from.
func (c Config) String() string {
	return fmt.Sprintf("configuration of role %q from file %q", c.loaded.role, c.loaded.file)
}

// Format hides the fields from every verb.
func (c Config) Format(f fmt.State, _ rune) { _, _ = f.Write([]byte(c.String())) }

// Notices are things that are allowed and worth knowing.
func (c Config) Notices() []Problem { return slices.Clone(c.loaded.notices) }

// loader gathers what is read and what is wrong.
type loader struct {
	options  Options
	file     string
	origins  map[string]Origin
	pending  map[string]string
	problems Problems
	notices  []Problem
}

func (l *loader) fail(key string, at Origin, format string, args ...any) {
	l.problems = append(l.problems, Problem{Key: key, Origin: at, Message: fmt.Sprintf(format, args...)})
}

func (l *loader) broken() map[string]bool {
	keys := map[string]bool{}
	for _, p := range l.problems {
		keys[p.Key] = true
	}
	return keys
}

func (l *loader) readFile(c *Config) {
	path, chosen := l.chooseFile()
	if path == "" {
		return
	}
	text, err := readBounded(path, maxFileBytes)
	if errors.Is(err, fs.ErrNotExist) && !chosen {
		return
	}
	if err != nil {
		l.fail("", Origin{}, "%v: name an existing file with --config or %s", err, FileVariable)
		return
	}
	l.file = path
	var document yaml.Node
	if err := yaml.Unmarshal(text, &document); err != nil {
		l.fail("", Origin{}, "%s: %s", filepath.Base(path), strings.TrimPrefix(err.Error(), "yaml: "))
		return
	}
	if len(document.Content) > 0 {
		l.decode(document.Content[0], reflect.ValueOf(c).Elem(), "")
	}
}

func (l *loader) chooseFile() (path string, chosen bool) {
	if l.options.File != "" {
		return l.options.File, true
	}
	if named, _ := l.options.Lookup(FileVariable); named != "" {
		return named, true
	}
	return defaultFile, false
}

func (l *loader) readFlags(c *Config) {
	known := map[string]field{}
	for _, f := range fieldsOf(c) {
		if f.settable() && !f.secret() { // others on the machine can read a command line
			known[f.key] = f
		}
	}
	for _, key := range slices.Sorted(maps.Keys(l.options.Flags)) {
		at := Origin{Flag: true}
		f, ok := known[key]
		if !ok {
			l.fail(key, at, "is not a key that a flag can set%s", didYouMean(key, slices.Sorted(maps.Keys(known))))
			continue
		}
		l.set(f, l.options.Flags[key], at)
	}
}

func (l *loader) setDefaults(c *Config) {
	for _, f := range fieldsOf(c) {
		if _, has := l.origins[f.key]; !has && f.standard != "" && !l.broken()[f.key] {
			l.set(f, f.standard, Origin{})
			delete(l.origins, f.key)
		}
	}
	if c.WeChatPay.BackupURL == "" && c.WeChatPay.BaseURL == weChatPayURL {
		c.WeChatPay.BackupURL = weChatPayBackupURL
	}
}

// The two addresses of WeChat Pay's API (WeChat Pay doc 4012076498). The
// second is never assumed for a stand-in: a test must not reach real money.
const (
	weChatPayURL       = "https://api.mch.weixin.qq.com"
	weChatPayBackupURL = "https://api2.mch.weixin.qq.com"
)

// passwordFiles lets a NATS password come from its file unless the
// environment gave it.
func (l *loader) passwordFiles(c *Config) {
	for _, f := range fieldsOf(c) {
		user, is := strings.CutPrefix(f.key, "nats.password_files.")
		key := "nats.passwords." + user
		if _, has := l.origins[key]; is && !has && f.value.String() != "" {
			l.pending[key], l.origins[key] = f.value.String(), l.origins[f.key]
		}
	}
}

// narrow makes a copy with only what a role may hold.
func (c Config) narrow(role Role) (Config, Problems) {
	c.Entries = slices.Clone(c.Entries)
	c.loaded.role = role
	var problems Problems
	for _, f := range fieldsOf(&c) {
		file, isPending := c.loaded.pending[f.key]
		switch {
		case role == RoleAny:
		case !f.heldBy(role):
			f.value.SetZero()
		case isPending:
			text, err := readSecret(file)
			if err != nil {
				problems = append(problems, Problem{Key: f.key, Origin: c.loaded.origins[f.key], Message: err.Error()})
				continue
			}
			f.value.Set(reflect.ValueOf(text))
		}
	}
	c.loaded.notices = slices.Clone(c.loaded.notices)
	v := validator{config: &c, broken: c.loaded.broken, problems: problems}
	v.run()
	c.loaded.notices = append(c.loaded.notices, v.notices...)
	return c, v.problems
}

// maxSecretBytes bounds a file that holds one secret.
const maxSecretBytes = 16 << 10

func readSecret(file string) (merchant.Secret, error) {
	text, err := readBounded(file, maxSecretBytes)
	if err != nil {
		return "", fmt.Errorf("%w: correct the path, or make the file readable for this user", err)
	}
	secret := strings.TrimRight(string(text), "\r\n")
	if secret == "" {
		return "", fmt.Errorf("%s is empty: write the secret into it", file)
	}
	return merchant.Secret(secret), nil
}

func readBounded(file string, limit int64) ([]byte, error) {
	info, err := os.Stat(file)
	if err != nil {
		return nil, err //nolint:wrapcheck // a PathError names operation and file
	}
	if info.Size() > limit {
		return nil, fmt.Errorf("%s has %d bytes, at most %d are read", file, info.Size(), limit)
	}
	return os.ReadFile(file)
}
