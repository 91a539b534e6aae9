package store_test

import (
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/fenflow/fenflow/pkg/pay"
)

func (b *books) leadsTo(id string, mchid pay.MchID) []pay.AccountMatch {
	b.t.Helper()
	found, err := b.FindAccounts(b.t.Context(), id, mchid)
	require.NoError(b.t, err)
	return found
}

func TestFindAccounts_takes_any_id_of_a_buyer(t *testing.T) {
	t.Parallel()
	b := setup(t)
	merged := b.arrive(arrival(miniApp, "open-1", ""))
	account := b.arrive(arrival(webApp, "open-2", union))
	require.Equal(t, account, b.arrive(arrival(miniApp, "open-1", union)))
	elsewhere := arrival(miniApp, "open-1", "")
	elsewhere.MchID = other
	theirs := b.arrive(elsewhere)

	for id, by := range map[string]string{string(account): "account_id", string(merged): "merged_account_id", "open-2": "openid", string(union): "unionid"} {
		require.Equal(t, []pay.AccountMatch{{MchID: shop, ID: account, FoundBy: by}}, b.leadsTo(id, ""), by)
		require.Empty(t, b.leadsTo(id, other))
	}
	require.ElementsMatch(t, []pay.AccountMatch{{MchID: shop, ID: account, FoundBy: "openid"}, {MchID: other, ID: theirs, FoundBy: "openid"}}, b.leadsTo("open-1", ""))
	require.Equal(t, []pay.AccountMatch{{MchID: other, ID: theirs, FoundBy: "openid"}}, b.leadsTo("open-1", other))
	for _, none := range []string{"", "open-3", uuid.NewString(), "a\x00b", "open-%", "o\xff"} {
		require.Empty(t, b.leadsTo(none, ""), none)
	}
}

// bought places an order of a buyer's, and has it paid by an openid.
func (b *books) bought(no pay.OutTradeNo, at time.Time, account pay.AccountID, openid, payer pay.OpenID) pay.OutTradeNo {
	b.t.Helper()
	o := order(no)
	o.AppID, o.OpenID, o.AccountID, o.CreatedAt = miniApp, openid, account, at
	if openid == "" {
		o.Client = pay.ClientNative
	}
	o, created, _, err := b.CreateOrder(b.t.Context(), o)
	require.NoError(b.t, err)
	require.True(b.t, created)
	if payer != "" {
		obs := payment(o, pay.TransactionID("42-"+string(no)))
		obs.OpenID = payer
		b.settle(arrived(obs))
	}
	return o.OutTradeNo
}

func TestOrdersOfAccount_are_those_that_the_buyer_placed_or_paid(t *testing.T) {
	t.Parallel()
	b := setup(t)
	merged := b.arrive(arrival(miniApp, "open-1", ""))
	account := b.arrive(arrival(webApp, "open-2", union))
	b.arrive(arrival(miniApp, "open-1", union))
	stranger := b.arrive(arrival(miniApp, "open-9", ""))
	at := func(n int) time.Time { return noon.Add(time.Duration(n) * time.Second) }
	want := []pay.OutTradeNo{
		b.bought("BY-MERGED-ACCOUNT", at(7), merged, "", ""),
		b.bought("BY-ACCOUNT", at(6), account, "", ""),
		b.bought("PAID-FOR-A-FRIEND", at(5), stranger, "", "open-1"),
		b.bought("BY-OPENID-AND-PAID", at(4), "", "open-1", "open-1"),
		b.bought("BY-OPENID", at(3), "", "open-1", ""),
	}
	b.bought("A-STRANGERS", at(8), stranger, "", "open-9")
	b.bought("OF-ANOTHER-APP", at(9), "", "open-2", "open-2") // the same openid means nobody in this app
	got, err := b.OrdersOfAccount(t.Context(), shop, account, 20)
	require.NoError(t, err)
	require.Zero(t, got.OthersSince)
	var numbers []pay.OutTradeNo
	for _, o := range got.Orders {
		numbers = append(numbers, o.OutTradeNo)
	}
	require.Equal(t, want, numbers)
	got, err = b.OrdersOfAccount(t.Context(), shop, account, 2)
	require.NoError(t, err)
	require.Len(t, got.Orders, 2)
	for _, none := range []pay.AccountID{pay.AccountID(uuid.NewString()), "none"} {
		got, err = b.OrdersOfAccount(t.Context(), shop, none, 20)
		require.NoError(t, err)
		require.Empty(t, got.Orders)
	}
}

func TestOrdersOfAccount_says_how_far_back_unpaid_ones_are_looked_for(t *testing.T) {
	t.Parallel()
	b := setup(t)
	account := b.arrive(arrival(miniApp, "open-1", ""))
	b.bought("OLD-UNPAID", noon.Add(-2*time.Hour), account, "", "")
	paid := b.bought("OLD-PAID", noon.Add(-time.Hour), "", "open-1", "open-1")
	b.placeMany(5000)
	got, err := b.OrdersOfAccount(t.Context(), shop, account, 20)
	require.NoError(t, err)
	require.Len(t, got.Orders, 1)
	require.Equal(t, paid, got.Orders[0].OutTradeNo)
	require.Equal(t, noon, got.OthersSince)
}
