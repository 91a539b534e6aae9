package worker

import (
	"crypto/rand"
	"time"

	"github.com/fenflow/fenflow/pkg/merchant"
	"github.com/fenflow/fenflow/pkg/message"
	"github.com/fenflow/fenflow/pkg/pay"
)

// AppSecrets finds what is configured of an app, for what names the app and nothing
// else. An app of several merchants is nobody's.
func (m *merchants) AppSecrets(id pay.AppID) (mchid pay.MchID, app merchant.App, secrets merchant.AppSecrets, found bool) {
	m.mu.RLock()
	defer m.mu.RUnlock()
	for _, one := range m.all {
		for _, a := range one.credentials.Merchant.Apps {
			switch {
			case a.AppID != id:
			case found:
				return "", merchant.App{}, merchant.AppSecrets{}, false
			default:
				mchid, app, secrets, found = one.credentials.Merchant.MchID, a, one.credentials.Apps[id], true
			}
		}
	}
	return mchid, app, secrets, found
}

// wireMessages makes what takes server messages. What was published is remembered
// through a pool that asks for no voucher: it says nothing of any order, and while
// books are recovered WeChat would give up long before.
func (w *worker) wireMessages() {
	w.messages = message.New(message.Options{
		Apps: w.merchants, Bus: w.parts.bus, Memory: w.parts.front, Now: time.Now, Random: rand.Reader, Log: w.env.Logger, Registry: w.env.Registry,
	})
}
