package worker

import (
	"fmt"
	"slices"
	"strings"
	"sync"

	"github.com/fenflow/fenflow/pkg/app/boot"
	"github.com/fenflow/fenflow/pkg/certificates"
	"github.com/fenflow/fenflow/pkg/command"
	"github.com/fenflow/fenflow/pkg/config"
	"github.com/fenflow/fenflow/pkg/merchant"
	"github.com/fenflow/fenflow/pkg/pay"
	"github.com/fenflow/fenflow/pkg/wechatpay"
)

// merchants are the merchants as they are configured now, each with its way to
// WeChat Pay.
type merchants struct {
	env     boot.Env
	watcher *config.Watcher

	ready chan struct{} // closed once the certificates kept from before are loaded

	mu      sync.RWMutex
	all     map[pay.MchID]member
	changed chan struct{} // closed at the next change
}

type member struct {
	credentials *merchant.Credentials
	client      *wechatpay.Client // nil: there is no key to call WeChat Pay with
}

// newMerchants reads all secrets once. A file that cannot be used ends the
// role here, where a person looks, rather than as dead letters later.
func newMerchants(env boot.Env) (*merchants, error) {
	first, err := env.Config.Snapshot()
	if err != nil {
		return nil, fmt.Errorf("read merchants: %w", err)
	}
	m := &merchants{
		env: env, watcher: config.NewWatcher(env.Config, first, config.WatchOptions{}),
		ready: make(chan struct{}), changed: make(chan struct{}),
	}
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
		if signsV3(credentials) || len(credentials.APIv2Keys) > 0 {
			client, err := m.newClient(credentials)
			if err != nil {
				return fmt.Errorf("merchant %s: %w", mchid, err)
			}
			one.client = client
		}
		next[mchid] = one
	}
	m.all = next
	close(m.changed)
	m.changed = make(chan struct{})
	return nil
}

// signsV3 says whether the merchant can make calls of protocol v3.
func signsV3(c *merchant.Credentials) bool { return c.PrivateKey != nil && c.Merchant.Serial != "" }

func (m *merchants) newClient(credentials *merchant.Credentials) (*wechatpay.Client, error) {
	way := m.env.Config.WeChatPay
	client, err := wechatpay.NewClient(credentials, wechatpay.ClientOptions{BaseURL: way.BaseURL, BackupURL: way.BackupURL, CAFile: way.CAFile})
	if err != nil {
		return nil, fmt.Errorf("make client: %w", err)
	}
	return client, nil
}

// loaded opens the gate behind which notifications are verified.
func (m *merchants) loaded() { close(m.ready) }

// next is closed when the merchants change after this call.
func (m *merchants) next() <-chan struct{} {
	m.mu.RLock()
	defer m.mu.RUnlock()
	return m.changed
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

// WeChat finds a merchant's way to WeChat Pay, for orders.
func (m *merchants) WeChat(mchid pay.MchID) (command.WeChat, bool) {
	client := m.find(mchid).client
	return client, client != nil
}

// Certificates finds a merchant's way to WeChat Pay, for certificates, which
// only protocol v3 has.
func (m *merchants) Certificates(mchid pay.MchID) (certificates.WeChat, bool) {
	one := m.find(mchid)
	if one.client == nil || !signsV3(one.credentials) {
		return nil, false
	}
	return one.client, true
}

// notifyURL is where WeChat Pay posts about an order: the protocols have
// addresses of their own (WeChat Pay doc 4012791834: no query string).
func (m *merchants) notifyURL(mchid pay.MchID, protocol pay.Protocol) string {
	public := strings.TrimRight(m.env.Config.PublicURL, "/")
	if protocol == pay.ProtocolV2 {
		return public + "/notify/v2/" + string(mchid) + "/pay"
	}
	return public + "/notify/v3/" + string(mchid)
}
