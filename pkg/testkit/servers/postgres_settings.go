package servers

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

const settingsFile = "fenflow.conf"

// durableSettings are what the roles prove at start, spelled out so that no
// packager's default decides.
func durableSettings(port int) map[string]string {
	return map[string]string{
		"listen_addresses": "127.0.0.1",
		"port":             strconv.Itoa(port),
		// No socket: its path may have 107 bytes at most, and temporary folders are longer.
		"unix_socket_directories":       "",
		"fsync":                         "on",
		"full_page_writes":              "on",
		"synchronous_commit":            "on",
		"max_connections":               "200",
		"shared_buffers":                "64MB",
		"timezone":                      "UTC",
		"log_timezone":                  "UTC",
		"logging_collector":             "off",
		"log_destination":               "stderr",
		"ssl":                           "off",
		"max_prepared_transactions":     "0",
		"checkpoint_timeout":            "15min", // fewer checkpoints in the middle of a test
		"max_wal_size":                  "1GB",
		"autovacuum_naptime":            "10s",
		"restart_after_crash":           "on",
		"default_transaction_isolation": "read committed",
	}
}

// writeSettings writes the settings into a file rather than on the command
// line, so that ALTER SYSTEM can still change them in a test.
func writeSettings(data string, port int, extra map[string]string) error {
	settings := durableSettings(port)
	maps.Copy(settings, extra)
	var text strings.Builder
	for _, name := range slices.Sorted(maps.Keys(settings)) {
		fmt.Fprintf(&text, "%s = '%s'\n", name, strings.ReplaceAll(settings[name], "'", "''"))
	}
	path := filepath.Join(data, settingsFile)
	if err := os.WriteFile(path, []byte(text.String()), 0o644); err != nil { // the server's account reads it
		return fmt.Errorf("write the settings: %w", err)
	}
	return nil
}
