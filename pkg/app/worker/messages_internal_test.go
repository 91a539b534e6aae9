package worker

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/fenflow/fenflow/pkg/merchant"
	"github.com/fenflow/fenflow/pkg/pay"
)

func TestMerchants_know_an_app_of_one_merchant_alone(t *testing.T) {
	t.Parallel()
	with := func(mchid pay.MchID, ids ...pay.AppID) member {
		c := &merchant.Credentials{Merchant: merchant.Merchant{MchID: mchid}, Apps: map[pay.AppID]merchant.AppSecrets{}}
		for _, id := range ids {
			c.Merchant.Apps = append(c.Merchant.Apps, merchant.App{AppID: id, Kind: merchant.KindOfficialAccount})
			c.Apps[id] = merchant.AppSecrets{MessageToken: merchant.Secret("token of " + id)}
		}
		return member{credentials: c}
	}
	m := &merchants{all: map[pay.MchID]member{"1900000109": with("1900000109", "wx1", "wx2"), "1900000110": with("1900000110", "wx2", "wx3")}}
	for id, want := range map[pay.AppID]pay.MchID{"wx1": "1900000109", "wx2": "", "wx3": "1900000110", "wx4": "", "": ""} {
		mchid, app, secrets, found := m.AppSecrets(id)
		require.Equal(t, want != "", found, id)
		require.Equal(t, want, mchid, id)
		if found {
			require.Equal(t, id, app.AppID)
			require.Equal(t, "token of "+string(id), secrets.MessageToken.Reveal())
		}
	}
}
