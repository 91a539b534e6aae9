package store_test

import (
	"crypto/sha256"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sync/errgroup"

	"github.com/fenflow/fenflow/pkg/pay"
	"github.com/fenflow/fenflow/pkg/store"
)

func sumOf(secret string) [32]byte { return sha256.Sum256([]byte(secret)) }

func (b *books) token(name string, role pay.TokenRole, secret string) {
	b.t.Helper()
	created, err := b.CreateToken(b.t.Context(), pay.Token{Name: name, Role: role, CreatedBy: "host:root"}, sumOf(secret))
	require.NoError(b.t, err)
	require.True(b.t, created)
}

func (b *books) audit() []pay.AuditEntry {
	b.t.Helper()
	entries, err := b.Audit(b.t.Context(), pay.AuditFilter{Limit: 100})
	require.NoError(b.t, err)
	return entries
}

func TestTokens_are_found_by_their_secret_until_they_are_revoked(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.token("night-shift", pay.TokenOperate, "one")
	b.token("dashboard", pay.TokenRead, "two")

	got, found, err := b.TokenBySum(t.Context(), sumOf("one"))
	require.NoError(t, err)
	require.True(t, found)
	require.NotEmpty(t, got.ID)
	require.WithinDuration(t, time.Now(), got.CreatedAt, time.Minute)
	require.Equal(t, pay.Token{ID: got.ID, Name: "night-shift", Role: pay.TokenOperate, CreatedAt: got.CreatedAt, CreatedBy: "host:root"}, got)
	_, found, err = b.TokenBySum(t.Context(), sumOf("three"))
	require.NoError(t, err)
	require.False(t, found)

	for _, want := range []bool{true, false} {
		revoked, err := b.RevokeToken(t.Context(), "night-shift", "token:boss")
		require.NoError(t, err)
		require.Equal(t, want, revoked)
	}
	_, found, err = b.TokenBySum(t.Context(), sumOf("one"))
	require.NoError(t, err)
	require.False(t, found)

	b.token("night-shift", pay.TokenRead, "four")
	all, err := b.Tokens(t.Context())
	require.NoError(t, err)
	require.Len(t, all, 3)
	require.Equal(t, []string{"night-shift", "dashboard", "night-shift"}, []string{all[0].Name, all[1].Name, all[2].Name})
	require.Zero(t, all[0].RevokedAt)
	require.Equal(t, got.ID, all[2].ID)
	require.WithinDuration(t, time.Now(), all[2].RevokedAt, time.Minute)

	log := b.audit()
	require.Len(t, log, 4, "one line for each act that changed something")
	require.Equal(t, []string{"token.create", "token.revoke", "token.create", "token.create"}, []string{log[0].Action, log[1].Action, log[2].Action, log[3].Action})
	require.Equal(t, "token:boss", log[1].Actor)
	require.Equal(t, "night-shift", log[1].Subject)
	require.Equal(t, map[string]any{"token_id": got.ID, "role": "operate"}, log[1].Detail)
}

func TestTokens_a_name_has_one_living_token(t *testing.T) {
	t.Parallel()
	b := setup(t)
	created := make([]bool, 8)
	var together errgroup.Group
	for i := range created {
		together.Go(func() (err error) {
			created[i], err = b.CreateToken(t.Context(), pay.Token{Name: "ci", Role: pay.TokenRead, CreatedBy: "host:root"}, sumOf(string(rune('a'+i))))
			return err
		})
	}
	require.NoError(t, together.Wait())
	made := 0
	for _, c := range created {
		if c {
			made++
		}
	}
	require.Equal(t, 1, made)
	require.Equal(t, 1, b.count(`SELECT count(*) FROM operator_tokens`))
	require.Len(t, b.audit(), 1)
}

func TestTokens_note_their_use_once_a_minute(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.token("ci", pay.TokenRead, "one")
	use := func() time.Time {
		_, found, err := b.TokenBySum(t.Context(), sumOf("one"))
		require.NoError(t, err)
		require.True(t, found)
		all, err := b.Tokens(t.Context())
		require.NoError(t, err)
		return all[0].LastUsedAt
	}
	first := use()
	require.WithinDuration(t, time.Now(), first, time.Minute)
	require.Equal(t, first, use())
	require.NoError(t, b.exec(`UPDATE operator_tokens SET last_used_at = last_used_at - interval '61 seconds'`))
	require.False(t, use().Before(first))
}

func TestTokens_keep_what_they_were_made_with(t *testing.T) {
	t.Parallel()
	b := setup(t)
	for _, bad := range []pay.Token{
		{Name: "two words", Role: pay.TokenRead, CreatedBy: "me"}, {Name: "", Role: pay.TokenRead, CreatedBy: "me"},
		{Name: "ci", Role: "root", CreatedBy: "me"}, {Name: "ci", Role: pay.TokenRead},
	} {
		_, err := b.CreateToken(t.Context(), bad, sumOf("one"))
		require.Error(t, err)
		require.False(t, store.Retryable(err))
	}
	require.Empty(t, b.audit())
	b.token("ci", pay.TokenRead, "one")
	for _, change := range []string{`role = 'operate'`, `name = 'boss'`, `created_by = 'you'`, `created_at = now() - interval '1 day'`, `token_id = gen_random_uuid()`, `sum = sha256('x')`} {
		require.Equal(t, "operator_tokens_are_fixed", refusedBy(t, b.exec(`UPDATE operator_tokens SET `+change)), change)
	}
	_, err := b.RevokeToken(t.Context(), "ci", "token:boss")
	require.NoError(t, err)
	require.Equal(t, "operator_tokens_are_fixed", refusedBy(t, b.exec(`UPDATE operator_tokens SET revoked_at = NULL`)))
}
