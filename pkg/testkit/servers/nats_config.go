package servers

import (
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/nats-io/nats-server/v2/server"
)

// storeLimit lets every stream reserve what production gives it; a reservation
// takes no space on the disk.
const storeLimit = 1 << 40

// serverOptions are the file's, if there is one, on our addresses and store.
func (n *NATS) serverOptions() (*server.Options, error) {
	options := &server.Options{}
	if n.options.ConfigFile != "" {
		text, err := os.ReadFile(n.options.ConfigFile)
		if err != nil {
			return nil, fmt.Errorf("read the configuration: %w", err)
		}
		whole, err := withIncludes(string(text), filepath.Dir(n.options.ConfigFile))
		if err != nil {
			return nil, fmt.Errorf("read the configuration %s: %w", n.options.ConfigFile, err)
		}
		if err := options.ProcessConfigString(withVariables(whole, n.options.Environment)); err != nil {
			return nil, fmt.Errorf("read the configuration %s: %w", n.options.ConfigFile, err)
		}
	}
	options.Host, options.Port = "127.0.0.1", n.port.Number
	options.HTTPHost, options.HTTPPort, options.HTTPSPort = "127.0.0.1", n.monitor.Number, 0
	options.JetStream, options.StoreDir = true, n.options.StoreDir
	options.SyncAlways = !n.options.LazySync
	options.JetStreamMaxStore = storeLimit
	options.LogFile, options.PidFile, options.PortsFileDir, options.Syslog = "", "", "", false
	options.NoSigs, options.NoLog = true, true
	options.DisableJetStreamBanner = true
	return options, nil
}

// withVariables defines the names that the configuration uses in front of it,
// where NATS looks before the environment: the environment belongs to the
// whole process, and tests run side by side. A name that is defined and not
// used would be refused.
func withVariables(text string, values map[string]string) string {
	var head strings.Builder
	for _, name := range slices.Sorted(maps.Keys(values)) {
		if regexp.MustCompile(`\$` + regexp.QuoteMeta(name) + `\b`).MatchString(text) {
			fmt.Fprintf(&head, "%s: %s\n", name, strconv.Quote(values[name]))
		}
	}
	return head.String() + text
}

// includeShape is a line of a configuration that takes in another file.
var includeShape = regexp.MustCompile(`(?m)^[ \t]*include[ \t]+["']?([^"'\s]+)["']?[ \t]*$`)

// withIncludes puts the files that a configuration takes in where it names them:
// NATS looks beside the file that it reads, and it is given a text.
func withIncludes(text, dir string) (string, error) {
	var failed error
	whole := includeShape.ReplaceAllStringFunc(text, func(line string) string {
		file := includeShape.FindStringSubmatch(line)[1]
		if !filepath.IsAbs(file) {
			file = filepath.Join(dir, file)
		}
		included, err := os.ReadFile(file)
		failed = errors.Join(failed, err)
		return string(included) + "\n"
	})
	return whole, failed
}

// natsLog keeps warnings and errors and drops the rest.
type natsLog struct {
	words *tail
}

func (l *natsLog) write(level, format string, v []any) {
	_, _ = fmt.Fprintf(l.words, level+" "+format+"\n", v...)
}

// Noticef drops what is only of interest.
func (*natsLog) Noticef(string, ...any) {}

// Debugf drops what is only of interest.
func (*natsLog) Debugf(string, ...any) {}

// Tracef drops what is only of interest.
func (*natsLog) Tracef(string, ...any) {}

// Warnf keeps a warning.
func (l *natsLog) Warnf(format string, v ...any) { l.write("warning:", format, v) }

// Errorf keeps an error.
func (l *natsLog) Errorf(format string, v ...any) { l.write("error:", format, v) }

// Fatalf keeps what stopped the server; it does not end this process.
func (l *natsLog) Fatalf(format string, v ...any) { l.write("fatal:", format, v) }
