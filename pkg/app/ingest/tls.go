package ingest

import (
	"crypto/tls"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/fenflow/fenflow/pkg/telemetry"
)

// certificateAge is how long a certificate is used before its files are read
// again, so that a renewed one needs no restart.
const certificateAge = time.Minute

// certificate is the listeners' own, from files.
type certificate struct {
	certFile, keyFile string
	log               *slog.Logger
	now               func() time.Time

	mu      sync.Mutex
	current *tls.Certificate
	readAt  time.Time
}

func newCertificate(certFile, keyFile string, log *slog.Logger, now func() time.Time) (*certificate, error) {
	c := &certificate{certFile: certFile, keyFile: keyFile, log: log, now: now}
	if err := c.read(); err != nil {
		return nil, err
	}
	return c, nil
}

func (c *certificate) read() error {
	c.readAt = c.now()
	pair, err := tls.LoadX509KeyPair(c.certFile, c.keyFile)
	if err != nil {
		return fmt.Errorf("read certificate: %w", err)
	}
	c.current = &pair
	return nil
}

// get serves tls.Config. A file that is broken now leaves the old certificate
// in use.
func (c *certificate) get(*tls.ClientHelloInfo) (*tls.Certificate, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.now().Sub(c.readAt) >= certificateAge {
		if err := c.read(); err != nil {
			c.log.Error("the old certificate stays in use", telemetry.Error(err))
		}
	}
	return c.current, nil
}
