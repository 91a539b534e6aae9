package store_test

import (
	"crypto/sha256"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sync/errgroup"

	"github.com/fenflow/fenflow/pkg/pay"
)

func TestShelf_leases_to_one_at_a_time_and_fences_out_the_one_before(t *testing.T) {
	t.Parallel()
	b := setup(t)
	const kind = "access_token"
	_, found, err := b.Token(t.Context(), webApp, kind)
	require.NoError(t, err)
	require.False(t, found)
	first, ok, err := b.LeaseToken(t.Context(), webApp, kind, "one", noon, 10*time.Second)
	require.NoError(t, err)
	require.True(t, ok)
	_, ok, err = b.LeaseToken(t.Context(), webApp, kind, "two", noon.Add(10*time.Second-time.Millisecond), 10*time.Second)
	require.NoError(t, err)
	require.False(t, ok, "the lease goes on")
	_, ok, err = b.LeaseToken(t.Context(), webApp, "jsapi_ticket", "two", noon, 10*time.Second)
	require.NoError(t, err)
	require.True(t, ok, "each kind has its own")
	_, found, err = b.Token(t.Context(), webApp, kind)
	require.NoError(t, err)
	require.False(t, found, "a lease is no token")

	second, ok, err := b.LeaseToken(t.Context(), webApp, kind, "two", noon.Add(10*time.Second), 10*time.Second)
	require.NoError(t, err)
	require.True(t, ok, "the lease has ended")
	require.Greater(t, second, first)
	stored, err := b.StoreToken(t.Context(), webApp, kind, first, []byte("late"), noon.Add(time.Hour))
	require.NoError(t, err)
	require.False(t, stored, "who was paused stores nothing")
	require.NoError(t, b.ReleaseToken(t.Context(), webApp, kind, first))
	stored, err = b.StoreToken(t.Context(), webApp, kind, second, []byte("sealed"), noon.Add(2*time.Hour))
	require.NoError(t, err)
	require.True(t, stored)
	token, found, err := b.Token(t.Context(), webApp, kind)
	require.NoError(t, err)
	require.True(t, found)
	require.Equal(t, pay.SealedToken{Sealed: []byte("sealed"), ExpiresAt: noon.Add(2 * time.Hour), Fence: second}, token)

	_, ok, err = b.LeaseToken(t.Context(), webApp, kind, "one", noon.Add(11*time.Second), 10*time.Second)
	require.NoError(t, err)
	require.False(t, ok, "releasing an old lease ends no new one")
	require.NoError(t, b.ReleaseToken(t.Context(), webApp, kind, second))
	third, ok, err := b.LeaseToken(t.Context(), webApp, kind, "one", noon.Add(11*time.Second), 10*time.Second)
	require.NoError(t, err)
	require.True(t, ok)
	require.Greater(t, third, second)
	require.Equal(t, "wechat_tokens_fence_grows", refusedBy(t, b.exec(`UPDATE wechat_tokens SET fence = 0`)))
}

func TestShelf_many_who_want_the_lease_at_once_give_it_to_one(t *testing.T) {
	t.Parallel()
	b := setup(t)
	granted := make([]bool, 20)
	var group errgroup.Group
	for i := range granted {
		group.Go(func() (err error) {
			_, granted[i], err = b.LeaseToken(t.Context(), webApp, "access_token", "holder", noon, time.Minute)
			return err
		})
	}
	require.NoError(t, group.Wait())
	leases := 0
	for _, g := range granted {
		if g {
			leases++
		}
	}
	require.Equal(t, 1, leases)
}

func (b *books) ticket(text, challenge string, expiresAt time.Time) [32]byte {
	b.t.Helper()
	id := b.arrive(arrival(webApp, "open-web", ""))
	sum := sha256.Sum256([]byte(text))
	require.NoError(b.t, b.KeepTicket(b.t.Context(), pay.LoginTicket{
		Sum: sum, Buyer: pay.Buyer{AccountID: id, MchID: shop, AppID: webApp, OpenID: "open-web"}, Challenge: challenge, ExpiresAt: expiresAt,
	}))
	return sum
}

func TestSpendTicket_spends_once_and_only_for_the_page_that_began(t *testing.T) {
	t.Parallel()
	b := setup(t)
	sum := b.ticket("t1", "mine", noon.Add(time.Minute))
	spend := func(sum [32]byte, app pay.AppID, challenge string, at time.Time) pay.TicketOutcome {
		buyer, outcome, err := b.SpendTicket(t.Context(), sum, app, challenge, at)
		require.NoError(t, err)
		require.Equal(t, outcome == pay.TicketSpent, buyer != pay.Buyer{})
		return outcome
	}
	require.Equal(t, pay.TicketForeign, spend(sum, webApp, "another", noon))
	require.Equal(t, pay.TicketGone, spend(sum, miniApp, "mine", noon), "a ticket is one app's")
	require.Equal(t, pay.TicketGone, spend(sha256.Sum256([]byte("t2")), webApp, "mine", noon))
	require.Equal(t, pay.TicketGone, spend(sum, webApp, "mine", noon.Add(time.Minute)), "run out")
	require.Equal(t, pay.TicketSpent, spend(sum, webApp, "mine", noon.Add(time.Minute-time.Millisecond)))
	require.Equal(t, pay.TicketGone, spend(sum, webApp, "mine", noon))

	sum = b.ticket("t3", "mine", noon.Add(time.Minute))
	outcomes := make([]pay.TicketOutcome, 10)
	var group errgroup.Group
	for i := range outcomes {
		group.Go(func() (err error) {
			_, outcomes[i], err = b.SpendTicket(t.Context(), sum, webApp, "mine", noon)
			return err
		})
	}
	require.NoError(t, group.Wait())
	spent := 0
	for _, o := range outcomes {
		if o == pay.TicketSpent {
			spent++
		}
	}
	require.Equal(t, 1, spent)
	require.NotContains(t, outcomes, pay.TicketForeign)
}

func TestSpendTicket_of_a_merged_account_is_the_others_login(t *testing.T) {
	t.Parallel()
	b := setup(t)
	sum := b.ticket("t1", "mine", noon.Add(time.Minute))
	kept := b.arrive(arrival(miniApp, "open-mini", union))
	require.Equal(t, kept, b.arrive(arrival(webApp, "open-web", union)))
	buyer, outcome, err := b.SpendTicket(t.Context(), sum, webApp, "mine", noon)
	require.NoError(t, err)
	require.Equal(t, pay.TicketSpent, outcome)
	require.Equal(t, pay.Buyer{AccountID: kept, MchID: shop, AppID: webApp, OpenID: "open-web"}, buyer)
}

func TestDropOldTickets_drops_what_ran_out_a_bite_at_a_time(t *testing.T) {
	t.Parallel()
	b := setup(t)
	for _, text := range []string{"a", "b", "c"} {
		b.ticket(text, "mine", noon)
	}
	b.ticket("d", "mine", noon.Add(time.Minute))
	dropped, err := b.DropOldTickets(t.Context(), noon.Add(time.Second), 2)
	require.NoError(t, err)
	require.EqualValues(t, 2, dropped)
	dropped, err = b.DropOldTickets(t.Context(), noon.Add(time.Second), 2)
	require.NoError(t, err)
	require.EqualValues(t, 1, dropped)
	require.Equal(t, 1, b.count(`SELECT count(*) FROM login_tickets`))
}
