package reconciler

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/fenflow/fenflow/pkg/app/boot"
	"github.com/fenflow/fenflow/pkg/config"
	"github.com/fenflow/fenflow/pkg/merchant"
	"github.com/fenflow/fenflow/pkg/pay"
	"github.com/fenflow/fenflow/pkg/reconcile"
	"github.com/fenflow/fenflow/pkg/store"
	"github.com/fenflow/fenflow/pkg/wechatpay"
)

const (
	// lookEvery: key files are read again each minute, and on SIGHUP.
	lookEvery = time.Minute
	// loadEvery bounds how long answers that a new platform certificate signed
	// count as unknown: the worker fetches it and keeps it in the database.
	loadEvery = 15 * time.Second
)

// merchants are the merchants as they are configured now, each with its way to
// WeChat Pay.
type merchants struct {
	env     boot.Env
	watcher *config.Watcher

	mu  sync.RWMutex
	all map[pay.MchID]member
}

type member struct {
	credentials *merchant.Credentials
	client      *wechatpay.Client // nil: it has no key to sign calls with
}

// newMerchants reads all secrets once. A file that cannot be used ends the role
// here, where a person looks.
func newMerchants(env boot.Env) (*merchants, error) {
	first, err := env.Config.Snapshot()
	if err != nil {
		return nil, fmt.Errorf("read merchants: %w", err)
	}
	m := &merchants{env: env, watcher: config.NewWatcher(env.Config, first, config.WatchOptions{})}
	return m, m.take(first)
}

// take makes a snapshot the present one. Clients of merchants that did not
// change keep their connections.
func (m *merchants) take(s config.Snapshot) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	next := make(map[pay.MchID]member, len(s.Credentials))
	for mchid, credentials := range s.Credentials {
		if old, known := m.all[mchid]; known && !slices.Contains(s.Changed, mchid) {
			next[mchid] = old
			continue
		}
		one := member{credentials: credentials}
		if credentials.PrivateKey != nil && credentials.Merchant.Serial != "" || len(credentials.APIv2Keys) > 0 {
			client, err := m.newClient(credentials)
			if err != nil {
				return fmt.Errorf("merchant %s: %w", mchid, err)
			}
			one.client = client
		}
		next[mchid] = one
	}
	m.all = next
	return nil
}

func (m *merchants) newClient(credentials *merchant.Credentials) (*wechatpay.Client, error) {
	way := m.env.Config.WeChatPay
	client, err := wechatpay.NewClient(credentials, wechatpay.ClientOptions{BaseURL: way.BaseURL, BackupURL: way.BackupURL, CAFile: way.CAFile})
	if err != nil {
		return nil, fmt.Errorf("make client: %w", err)
	}
	return client, nil
}

// keep reads files and certificates again until ctx ends. What is wrong is
// told; what was good stays in use.
func (m *merchants) keep(ctx context.Context, books *store.Store) error {
	look, load := time.NewTicker(lookEvery), time.NewTicker(loadEvery)
	defer look.Stop()
	defer load.Stop()
	for {
		var err error
		select {
		case <-load.C:
			_ = m.load(ctx, books) // a database that is away is told of elsewhere; tried again soon
		case <-look.C:
			err = m.look(ctx, books)
		case <-m.env.Reload:
			err = m.look(ctx, books)
		case <-ctx.Done():
			return nil
		}
		if err != nil && ctx.Err() == nil {
			m.env.Logger.ErrorContext(ctx, "configuration was not read again; what was read before stays in use", "error", err)
		}
	}
}

func (m *merchants) look(ctx context.Context, books *store.Store) error {
	next, err := m.watcher.Look()
	if len(next.Changed) == 0 {
		return err
	}
	if takeErr := m.take(next); takeErr != nil {
		return errors.Join(err, takeErr)
	}
	m.env.Logger.InfoContext(ctx, "merchants changed", "mchids", next.Changed)
	return errors.Join(err, m.load(ctx, books))
}

// load puts the platform certificates that a worker has fetched into the
// keyrings. Only verified ones are kept there.
func (m *merchants) load(ctx context.Context, books *store.Store) error {
	for _, mchid := range m.All() {
		credentials, known := m.Credentials(mchid)
		if !known || !credentials.Merchant.PlatformCertificates {
			continue
		}
		kept, err := books.PlatformCertificates(ctx, mchid)
		if err != nil {
			return fmt.Errorf("read platform certificates: %w", err)
		}
		for _, row := range kept {
			key, err := merchant.ParseCertificatePEM(row.PEM)
			if err != nil {
				return fmt.Errorf("parse platform certificate %s: %w", row.Serial, err)
			}
			credentials.Keyring.Put(key)
		}
	}
	return nil
}

func (m *merchants) find(mchid pay.MchID) member {
	m.mu.RLock()
	defer m.mu.RUnlock()
	return m.all[mchid]
}

// All lists the merchants in the order of their numbers.
func (m *merchants) All() []pay.MchID {
	m.mu.RLock()
	defer m.mu.RUnlock()
	all := make([]pay.MchID, 0, len(m.all))
	for mchid := range m.all {
		all = append(all, mchid)
	}
	slices.Sort(all)
	return all
}

// Credentials finds a merchant's secrets.
func (m *merchants) Credentials(mchid pay.MchID) (*merchant.Credentials, bool) {
	one := m.find(mchid)
	return one.credentials, one.credentials != nil
}

// WeChat finds a merchant's way to WeChat Pay.
func (m *merchants) WeChat(mchid pay.MchID) (reconcile.WeChat, bool) {
	client := m.find(mchid).client
	return client, client != nil
}

// notifyURL is where WeChat Pay posts about refunds.
func (m *merchants) notifyURL(mchid pay.MchID, protocol pay.Protocol) string {
	base := strings.TrimRight(m.env.Config.PublicURL, "/") + "/notify/"
	if protocol == pay.ProtocolV2 {
		return base + "v2/" + string(mchid) + "/refund"
	}
	return base + "v3/" + string(mchid)
}
