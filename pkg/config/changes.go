package config

import (
	"bytes"
	"reflect"
	"slices"

	"github.com/fenflow/fenflow/pkg/merchant"
	"github.com/fenflow/fenflow/pkg/pay"
)

// changes lists the merchants that came, went or differ.
func changes(before, now Snapshot) []pay.MchID {
	var changed []pay.MchID
	for _, m := range now.Directory.All() {
		old, known := before.Directory.ByMchID(m.MchID)
		if !known || !reflect.DeepEqual(old, m) ||
			!slices.EqualFunc(before.PublicKeys[m.MchID], now.PublicKeys[m.MchID], samePublicKey) ||
			!sameSecrets(before.Credentials[m.MchID], now.Credentials[m.MchID]) {
			changed = append(changed, m.MchID)
		}
	}
	for _, m := range before.Directory.All() {
		if _, still := now.Directory.ByMchID(m.MchID); !still {
			changed = append(changed, m.MchID)
		}
	}
	return changed
}

func samePublicKey(a, b merchant.PublicKey) bool { return a.ID == b.ID && a.Key.Equal(b.Key) }

func sameSecrets(a, b *merchant.Credentials) bool {
	if a == nil || b == nil {
		return a == b
	}
	samePrivate := a.PrivateKey == b.PrivateKey ||
		a.PrivateKey != nil && b.PrivateKey != nil && a.PrivateKey.Equal(b.PrivateKey)
	return samePrivate && slices.Equal(a.APIv3Keys, b.APIv3Keys) &&
		slices.Equal(a.APIv2Keys, b.APIv2Keys) && sameCertificate(a, b) && reflect.DeepEqual(a.Apps, b.Apps)
}

func sameCertificate(a, b *merchant.Credentials) bool {
	if a.ClientCertificate == nil || b.ClientCertificate == nil {
		return a.ClientCertificate == b.ClientCertificate
	}
	return slices.EqualFunc(a.ClientCertificate.Certificate, b.ClientCertificate.Certificate, bytes.Equal)
}
