package store_test

import (
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/fenflow/fenflow/pkg/pay"
	"github.com/fenflow/fenflow/pkg/store"
	"github.com/fenflow/fenflow/pkg/testkit"
	"github.com/fenflow/fenflow/pkg/testkit/servers"
)

func TestCommands_keep_their_first_final_outcome(t *testing.T) {
	t.Parallel()
	b := setup(t)
	result := pay.CommandResult{
		ID: pay.CommandID(uuid.Must(uuid.NewV7()).String()), MchID: shop, Kind: pay.CommandRefundCreate, OutTradeNo: "T-1", OutRefundNo: "R-1", Digest: "d",
		Outcome: pay.CommandUnavailable, Status: 503, Body: []byte("{\"title\":\"later\xff\x00\"}"), ReceivedAt: noon, FinishedAt: noon.Add(time.Second),
	}
	require.NoError(t, b.FinishCommand(t.Context(), result))
	got, found, err := b.Command(t.Context(), shop, result.ID)
	require.NoError(t, err)
	require.True(t, found)
	require.Equal(t, result, got)

	better := result
	better.Outcome, better.Status, better.Body = pay.CommandDone, 201, []byte(`{}`)
	require.NoError(t, b.FinishCommand(t.Context(), better))
	require.NoError(t, b.FinishCommand(t.Context(), result), "a twin that is late")
	got, _, err = b.Command(t.Context(), shop, result.ID)
	require.NoError(t, err)
	require.Equal(t, better, got)

	for _, id := range []pay.CommandID{"", "x\x00", pay.CommandID(uuid.NewString())} {
		_, found, err := b.Command(t.Context(), shop, id)
		require.NoError(t, err)
		require.False(t, found)
	}
	_, found, err = b.Command(t.Context(), other, result.ID)
	require.NoError(t, err)
	require.False(t, found, "another merchant's command")
}

func TestPlatformCertificates_keep_the_retired_ones(t *testing.T) {
	t.Parallel()
	b := setup(t)
	certificate := func(serial string, from time.Time) store.StoredCertificate {
		return store.StoredCertificate{Serial: serial, PEM: []byte("-----BEGIN " + serial), EffectiveAt: from, ExpireAt: from.AddDate(5, 0, 0), FetchedAt: noon}
	}
	retired, current := certificate("AA", noon.AddDate(-6, 0, 0)), certificate("BB", noon)
	require.NoError(t, b.SavePlatformCertificates(t.Context(), shop, []store.StoredCertificate{retired, current, current}))
	seen := current
	seen.FetchedAt = noon.Add(time.Hour)
	seen.PEM = []byte("something else")
	require.NoError(t, b.SavePlatformCertificates(t.Context(), shop, []store.StoredCertificate{seen}))
	require.NoError(t, b.SavePlatformCertificates(t.Context(), shop, nil))

	current.FetchedAt = seen.FetchedAt
	got, err := b.PlatformCertificates(t.Context(), shop)
	require.NoError(t, err)
	require.Equal(t, []store.StoredCertificate{current, retired}, got)
	none, err := b.PlatformCertificates(t.Context(), other)
	require.NoError(t, err)
	require.Empty(t, none)
}

func TestDurability_names_each_setting_and_its_fix(t *testing.T) {
	t.Parallel()
	b := setup(t)
	problems, err := b.Durability(t.Context())
	require.NoError(t, err)
	require.Empty(t, problems)

	t.Run("of one database", func(t *testing.T) {
		t.Parallel()
		require.NoError(t, b.exec(`ALTER DATABASE `+b.text(`SELECT current_database()`)+` SET synchronous_commit = off`))
		require.NoError(t, b.exec(`ALTER TABLE commands SET UNLOGGED`))
		again := openBooks(t, b.url)
		problems, err := again.Durability(t.Context())
		require.NoError(t, err)
		require.Len(t, problems, 2)
		require.Contains(t, problems[0], "synchronous_commit = on")
		require.Contains(t, problems[1], "ALTER TABLE commands SET LOGGED")
	})

	t.Run("of a server", func(t *testing.T) {
		t.Parallel()
		server := testkit.OwnPostgres(t, func(o *servers.PostgresOptions) {
			o.Settings = map[string]string{"fsync": "off", "full_page_writes": "off"}
		})
		require.NoError(t, server.CreateDatabase(t.Context(), "lazy"))
		require.NoError(t, migrate(t.Context(), server.URL("lazy")))
		s, err := store.Open(t.Context(), store.Config{URL: server.URL("lazy"), RequireStandby: true})
		require.NoError(t, err)
		defer func() { require.NoError(t, s.Close()) }()
		problems, err := s.Durability(t.Context())
		require.NoError(t, err)
		require.Len(t, problems, 3)
		require.Contains(t, problems[0], "fsync = on")
		require.Contains(t, problems[1], "full_page_writes = on")
		require.Contains(t, problems[2], "synchronous standby")
	})
}

func TestOldestAges_measure_each_queue(t *testing.T) {
	t.Parallel()
	b := setup(t)
	ages, err := b.OldestAges(t.Context())
	require.NoError(t, err)
	require.Equal(t, store.Ages{}, ages)
	b.place()
	require.NoError(t, b.exec(`UPDATE outbox SET created_at = now() - interval '90 seconds'`))
	require.NoError(t, b.exec(`UPDATE orders SET next_check_at = now() - interval '1 hour'`))
	ages, err = b.OldestAges(t.Context())
	require.NoError(t, err)
	require.InDelta(t, 90, ages.Outbox.Seconds(), 60)
	require.InDelta(t, 3600, ages.UnresolvedOrders.Seconds(), 60)
	require.EqualValues(t, 1, ages.OutboxRows)
	require.EqualValues(t, 1, ages.OverdueOrders)

	o := b.paidOrder()
	b.told(payment(o, "2-"+txOf(o)), wish(o, refundOf(o, 1), 10), seen(o, refundOf(o, 1), 10, pay.RefundAbnormal), seen(o, refundOf(o, 2), 10, pay.RefundSucceeded))
	require.NoError(t, b.exec(`UPDATE refunds SET next_check_at = now() - interval '2 hours' WHERE state = 'abnormal'`))
	require.NoError(t, b.exec(`UPDATE refunds SET next_check_at = now() + interval '2 hours' WHERE state = 'requested'`))
	b.forge(`UPDATE anomalies SET observed_at = now() - interval '3 hours'`)
	ages, err = b.OldestAges(t.Context())
	require.NoError(t, err)
	require.InDelta(t, 2*3600, ages.UnresolvedRefunds.Seconds(), 60)
	require.InDelta(t, 3*3600, ages.OpenAnomalies.Seconds(), 60)
	require.Equal(t, []int64{1, 1, 1}, []int64{ages.OverdueRefunds, ages.AbnormalRefunds, ages.OpenAnomalyRows})
}
