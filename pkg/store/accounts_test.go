package store_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sync/errgroup"

	"github.com/fenflow/fenflow/pkg/pay"
)

const (
	miniApp = pay.AppID("wx1111111111111111")
	webApp  = pay.AppID("wx2222222222222222")
	union   = pay.UnionID("o6_bmasdasdsad6_2sgVt7hMZOPfL")
)

func arrival(appid pay.AppID, openid pay.OpenID, unionid pay.UnionID) pay.Arrival {
	return pay.Arrival{MchID: shop, AppID: appid, OpenID: openid, UnionID: unionid, At: noon, LoggedIn: true}
}

func (b *books) arrive(a pay.Arrival) pay.AccountID {
	b.t.Helper()
	id, err := b.Arrive(b.t.Context(), a)
	require.NoError(b.t, err)
	_, err = pay.ParseAccountID(string(id))
	require.NoError(b.t, err)
	return id
}

func (b *books) account(id pay.AccountID) pay.Account {
	b.t.Helper()
	account, found, err := b.Account(b.t.Context(), shop, id)
	require.NoError(b.t, err)
	require.True(b.t, found)
	return account
}

func TestArrive_keeps_one_account_for_an_openid(t *testing.T) {
	t.Parallel()
	b := setup(t)
	first := arrival(miniApp, "open-1", "")
	first.Nickname, first.Phone = "茶客", "+86 13800000000"
	id := b.arrive(first)
	again := arrival(miniApp, "open-1", "")
	again.At, again.AvatarURL, again.Nickname = noon.Add(time.Hour), "https://thirdwx.qlogo.cn/1", "茶"
	require.Equal(t, id, b.arrive(again))
	require.Equal(t, pay.Account{
		MchID: shop, ID: id, Nickname: "茶", AvatarURL: "https://thirdwx.qlogo.cn/1", Phone: "+86 13800000000", CreatedAt: noon, UpdatedAt: noon.Add(time.Hour),
		Identities: []pay.Identity{{AppID: miniApp, OpenID: "open-1", SeenAt: noon.Add(time.Hour)}},
	}, b.account(id))
	quiet := arrival(miniApp, "open-1", "")
	quiet.At = noon.Add(2 * time.Hour)
	b.arrive(quiet)
	require.Equal(t, noon.Add(time.Hour), b.account(id).UpdatedAt, "nothing was told: nothing is written")

	elsewhere := arrival(miniApp, "open-1", "")
	elsewhere.MchID = other
	require.NotEqual(t, id, b.arrive(elsewhere), "accounts are a merchant's own")
	require.NotEqual(t, id, b.arrive(arrival(webApp, "open-1", "")), "an openid is one app's own")
	_, found, err := b.Account(t.Context(), other, id)
	require.NoError(t, err)
	require.False(t, found)
	_, found, err = b.Account(t.Context(), shop, "no id at all")
	require.NoError(t, err)
	require.False(t, found)
}

func TestArrive_ten_at_once_make_one_account(t *testing.T) {
	t.Parallel()
	b := setup(t)
	for round := range 5 {
		ids := make([]pay.AccountID, 10)
		var group errgroup.Group
		for i := range ids {
			group.Go(func() (err error) {
				ids[i], err = b.Arrive(t.Context(), arrival(miniApp, pay.OpenID(fmt.Sprintf("open-%d", round)), ""))
				return err
			})
		}
		require.NoError(t, group.Wait())
		for _, id := range ids {
			require.Equal(t, ids[0], id)
		}
	}
	require.Equal(t, 5, b.count(`SELECT count(*) FROM accounts`))
	require.Equal(t, 5, b.count(`SELECT count(*) FROM identities`))
}

func TestArrive_two_apps_at_once_with_one_unionid_make_one_account(t *testing.T) {
	t.Parallel()
	b := setup(t)
	const rounds = 10
	for round := range rounds {
		unionid := pay.UnionID(fmt.Sprintf("union-%d", round))
		openid := pay.OpenID(fmt.Sprintf("open-%d", round))
		ids := make([]pay.AccountID, 6)
		var group errgroup.Group
		for i := range ids {
			group.Go(func() (err error) {
				ids[i], err = b.Arrive(t.Context(), arrival([]pay.AppID{miniApp, webApp, appID}[i%3], openid, unionid))
				return err
			})
		}
		require.NoError(t, group.Wait())
		for _, id := range ids {
			require.Equal(t, ids[0], id)
		}
		require.Len(t, b.account(ids[0]).Identities, 3)
	}
	require.Equal(t, rounds, b.count(`SELECT count(*) FROM accounts`))
}

func TestArrive_merges_accounts_when_a_unionid_comes_later(t *testing.T) {
	t.Parallel()
	b := setup(t)
	lonely := arrival(miniApp, "open-mini", "")
	lonely.Nickname, lonely.Phone = "older", "13800000000"
	away := b.arrive(lonely)
	known := arrival(webApp, "open-web", union)
	known.Nickname = "kept"
	kept := b.arrive(known)
	require.NotEqual(t, away, kept)
	o := order("T-of-the-older")
	o.OpenID, o.Client, o.AccountID = "", pay.ClientNative, away
	_, created, _, err := b.CreateOrder(t.Context(), o)
	require.NoError(t, err)
	require.True(t, created)

	later := arrival(miniApp, "open-mini", union)
	later.At = noon.Add(time.Hour)
	require.Equal(t, kept, b.arrive(later))
	merged := b.account(kept)
	require.Equal(t, "kept", merged.Nickname, "what is known stays")
	require.Equal(t, "13800000000", merged.Phone, "what is not comes along")
	require.Len(t, merged.Identities, 2)
	require.Equal(t, merged, b.account(away), "the old id leads to the account")
	require.Equal(t, kept, b.arrive(arrival(miniApp, "open-mini", "")), "without the unionid, too")

	for _, buyer := range []pay.Buyer{
		{AccountID: away, MchID: shop, AppID: miniApp, OpenID: "open-mini"}, // a session from before
		{AccountID: kept, MchID: shop, AppID: miniApp, OpenID: "open-mini"},
		{AccountID: kept, MchID: shop, AppID: webApp, OpenID: "open-web"},
	} {
		got, found, err := b.BuyersOrder(t.Context(), buyer, o.OutTradeNo)
		require.NoError(t, err)
		require.True(t, found, buyer.AppID)
		require.Equal(t, away, got.AccountID, "the order is as it was placed")
	}
}

func TestArrive_never_merges_two_accounts_with_unionids_of_their_own(t *testing.T) {
	t.Parallel()
	b := setup(t)
	mini, web := b.arrive(arrival(miniApp, "open-mini", "union-a")), b.arrive(arrival(webApp, "open-web", "union-b"))
	require.Equal(t, mini, b.arrive(arrival(miniApp, "open-mini", "union-b")))
	require.NotEqual(t, mini, web)
	require.Equal(t, pay.UnionID("union-a"), b.account(mini).UnionID)
	require.Equal(t, pay.UnionID("union-b"), b.account(web).UnionID)
	require.Equal(t, mini, b.arrive(arrival(miniApp, "open-mini", "union-c")), "one that is nobody's changes nothing either")
	require.Equal(t, pay.UnionID("union-a"), b.account(mini).UnionID)
}

// Merges and logins of all kinds at once: whatever the order, each openid ends with
// the account of its unionid, and nothing deadlocks.
func TestArrive_merges_under_concurrency_end_in_one_account(t *testing.T) {
	t.Parallel()
	b := setup(t)
	for round := range 10 {
		unionid := pay.UnionID(fmt.Sprintf("union-%d", round))
		openid := pay.OpenID(fmt.Sprintf("open-%d", round))
		for _, app := range []pay.AppID{miniApp, webApp, appID} {
			b.arrive(arrival(app, openid, ""))
		}
		var group errgroup.Group
		for i := range 12 {
			app := []pay.AppID{miniApp, webApp, appID}[i%3]
			told := unionid
			if i%4 == 3 {
				told = ""
			}
			group.Go(func() error {
				_, err := b.Arrive(t.Context(), arrival(app, openid, told))
				return err
			})
		}
		require.NoError(t, group.Wait())
		id := b.arrive(arrival(miniApp, openid, ""))
		require.Equal(t, id, b.arrive(arrival(webApp, openid, "")))
		require.Equal(t, id, b.arrive(arrival(appID, openid, "")))
		require.Equal(t, unionid, b.account(id).UnionID)
		require.Len(t, b.account(id).Identities, 3)
	}
	require.Zero(t, b.count(`SELECT count(*) FROM accounts AS a JOIN accounts AS b ON b.mchid = a.mchid AND b.account_id = a.merged_into WHERE b.merged_into IS NOT NULL`), "no pointer to a pointer")
}

func TestGrantedIdentity_keeps_the_grant_that_may_ask_for_more(t *testing.T) {
	t.Parallel()
	b := setup(t)
	come := func(scope, sealed string, at time.Time) pay.AccountID {
		a := arrival(webApp, "open-web", "")
		a.At, a.Grant = at, pay.Grant{Sealed: []byte(sealed), Scope: scope, ExpiresAt: at.Add(2 * time.Hour)}
		return b.arrive(a)
	}
	granted := func(id pay.AccountID) string {
		g, found, err := b.GrantedIdentity(t.Context(), shop, id, webApp)
		require.NoError(t, err)
		require.True(t, found)
		return string(g.Grant.Sealed)
	}
	id := come("snsapi_base", "base-1", noon)
	require.Equal(t, "base-1", granted(id))
	come("snsapi_base", "base-2", noon)
	require.Equal(t, "base-2", granted(id))
	come("snsapi_userinfo", "info-1", noon)
	come("snsapi_base", "base-3", noon.Add(time.Hour))
	require.Equal(t, "info-1", granted(id))
	b.arrive(arrival(webApp, "open-web", ""))
	require.Equal(t, "info-1", granted(id), "a login without a grant takes none away")
	come("snsapi_userinfo", "info-2", noon.Add(2*time.Hour))
	require.Equal(t, "info-2", granted(id))
	come("snsapi_base", "base-4", noon.Add(31*24*time.Hour))
	require.Equal(t, "base-4", granted(id), "what cannot be refreshed any more is of no use")

	asked := arrival(webApp, "open-web", "")
	asked.At, asked.LoggedIn = noon.Add(1000*time.Hour), false
	b.arrive(asked)
	require.Equal(t, noon.Add(31*24*time.Hour), b.account(id).Identities[0].SeenAt, "who is asked about has not logged in")
	_, found, err := b.GrantedIdentity(t.Context(), shop, id, miniApp)
	require.NoError(t, err)
	require.False(t, found)
}

func TestBuyersOrder_finds_a_buyers_own_orders_and_no_others(t *testing.T) {
	t.Parallel()
	b := setup(t)
	own := b.arrive(arrival(appID, order("x").OpenID, union))
	b.arrive(arrival(webApp, "open-web", union))
	stranger := b.arrive(arrival(appID, "stranger", ""))
	byOpenID := b.place()
	native := order("T-native-0001")
	native.Client, native.OpenID, native.AccountID = pay.ClientNative, "", own
	_, _, _, err := b.CreateOrder(t.Context(), native)
	require.NoError(t, err)
	nobodys := order("T-nobodys-001")
	nobodys.Client, nobodys.OpenID = pay.ClientNative, ""
	_, _, _, err = b.CreateOrder(t.Context(), nobodys)
	require.NoError(t, err)

	sees := func(buyer pay.Buyer, no pay.OutTradeNo) bool {
		got, found, err := b.BuyersOrder(t.Context(), buyer, no)
		require.NoError(t, err)
		if found {
			want, _, err := b.Order(t.Context(), shop, no)
			require.NoError(t, err)
			require.Equal(t, want, got)
		}
		return found
	}
	here := pay.Buyer{AccountID: own, MchID: shop, AppID: appID, OpenID: byOpenID.OpenID}
	web := pay.Buyer{AccountID: own, MchID: shop, AppID: webApp, OpenID: "open-web"}
	foreign := pay.Buyer{AccountID: stranger, MchID: shop, AppID: appID, OpenID: "stranger"}
	elsewhere := pay.Buyer{AccountID: own, MchID: other, AppID: appID, OpenID: byOpenID.OpenID}
	for _, no := range []pay.OutTradeNo{byOpenID.OutTradeNo, native.OutTradeNo} {
		require.True(t, sees(here, no))
		require.True(t, sees(web, no), "the same buyer in another app")
		require.False(t, sees(foreign, no))
		require.False(t, sees(elsewhere, no))
	}
	for _, buyer := range []pay.Buyer{here, web, foreign, {MchID: shop}, {MchID: shop, AppID: appID}} {
		require.False(t, sees(buyer, nobodys.OutTradeNo), "an order that names nobody is nobody's")
		require.False(t, sees(buyer, "T-unknown-001"))
	}

	// After a restore the accounts are gone until buyers log in again.
	require.NoError(t, b.exec(`DELETE FROM identities`))
	require.NoError(t, b.exec(`DELETE FROM accounts`))
	require.True(t, sees(here, byOpenID.OutTradeNo), "by the openid that the session proves")
	require.True(t, sees(here, native.OutTradeNo), "by the account that the session proves")
	require.False(t, sees(foreign, byOpenID.OutTradeNo))
}
