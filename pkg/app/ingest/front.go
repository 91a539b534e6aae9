package ingest

import (
	"crypto/rand"
	"errors"
	"strings"
	"time"

	"github.com/fenflow/fenflow/pkg/config"
	"github.com/fenflow/fenflow/pkg/front"
	"github.com/fenflow/fenflow/pkg/problem"
	"github.com/fenflow/fenflow/pkg/session"
)

// opensFront says whether buyers are served here.
func opensFront(c config.Config) bool { return c.Listen.Front != "" && c.Front.Open() }

func (r *role) frontHandler() *front.Handler {
	return front.New(front.Config{
		URL: r.Config.FrontURL(), OpenURL: strings.TrimRight(r.Config.WeChat.OpenURL, "/"),
		Current: func() front.Settings {
			now := r.merchants.Current()
			return front.Settings{Directory: now.Directory, VerifyFiles: now.VerifyFiles}
		},
		Sessions: sessions{r.merchants, time.Now}, Worker: r.frontBus, Metrics: front.NewMetrics(r.Registry), Logger: r.Logger,
		Now: time.Now, NewState: rand.Text,
	})
}

// sessions verifies with the keys of the configuration in force.
type sessions struct {
	watcher *config.Watcher
	now     func() time.Time
}

// Verify says whose session a token is. Its error is a refusal of package
// session, or a problem where nothing can be verified.
func (s sessions) Verify(token string) (session.Claims, error) {
	current := s.watcher.Current()
	if err := checkSessionKeys(current); err != nil {
		return session.Claims{}, problem.Wrap(problem.NoSessionKeys, err, "")
	}
	return session.NewVerifier(current.SessionKeys, s.now).Verify(token) //nolint:wrapcheck // a refusal
}

func checkSessionKeys(now config.Snapshot) error {
	if len(now.SessionKeys) == 0 {
		return errors.New("no key to verify buyers' sessions with could be read: see front.session_public_key_files")
	}
	return nil
}
