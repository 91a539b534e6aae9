package bus

import (
	"bytes"
	"maps"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/fenflow/fenflow/pkg/pay"
	"github.com/fenflow/fenflow/pkg/wechatpay"
)

func pack(t require.TestingT, all ...wechatpay.Envelope) []byte {
	records := make([][]byte, len(all))
	for i, env := range all {
		var err error
		records[i], err = encodeEnvelope(env)
		require.NoError(t, err)
	}
	return encodePack(records)
}

func TestPack_keeps_every_envelope_as_it_was(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		all := rapid.SliceOfN(rapid.Custom(func(t *rapid.T) wechatpay.Envelope {
			return wechatpay.Envelope{
				DeliveryID:  pay.DeliveryID(rapid.String().Draw(t, "id")),
				MchID:       pay.MchID(rapid.String().Draw(t, "mchid")),
				Kind:        pay.DeliveryKind(rapid.String().Draw(t, "kind")),
				ReceivedAt:  time.Unix(0, rapid.Int64().Draw(t, "at")).UTC(),
				TraceParent: rapid.String().Draw(t, "trace"),
				Headers:     rapid.MapOfN(rapid.String(), rapid.String(), 0, 6).Draw(t, "headers"),
				Body:        rapid.SliceOf(rapid.Byte()).Draw(t, "body"),
			}
		}), 1, 8).Draw(t, "envelopes")
		got, err := decodePack(pack(t, all...))
		require.NoError(t, err)
		require.Len(t, got, len(all))
		for i, one := range got {
			require.NoError(t, one.err)
			want := all[i]
			require.True(t, bytes.Equal(want.Body, one.envelope.Body))
			require.True(t, maps.Equal(want.Headers, one.envelope.Headers))
			require.True(t, want.ReceivedAt.Equal(one.envelope.ReceivedAt))
			require.Equal(t, []string{string(want.DeliveryID), string(want.MchID), string(want.Kind), want.TraceParent},
				[]string{string(one.envelope.DeliveryID), string(one.envelope.MchID), string(one.envelope.Kind), one.envelope.TraceParent})
		}
	})
}

func TestPack_loses_only_the_envelope_that_is_spoilt(t *testing.T) {
	t.Parallel()
	data := pack(t, envelope(1), envelope(2), envelope(3))
	middle := bytes.Index(data, envelope(2).Body)
	data[middle] ^= 1
	got, err := decodePack(data)
	require.NoError(t, err)
	require.Len(t, got, 3)
	require.NoError(t, got[0].err)
	require.ErrorContains(t, got[1].err, "checksum")
	require.Contains(t, string(got[1].raw), string(envelope(2).DeliveryID))
	require.NoError(t, got[2].err)
	require.Equal(t, envelope(3), got[2].envelope)
}

func TestPack_says_why_it_cannot_be_read(t *testing.T) {
	t.Parallel()
	good := pack(t, envelope(1))
	change := func(at int, b byte) []byte {
		c := bytes.Clone(good)
		c[at] = b
		return c
	}
	for name, c := range map[string]struct {
		data []byte
		want string
	}{
		"empty":          {nil, "not a pack"},
		"other magic":    {change(0, 'X'), "not a pack"},
		"other version":  {change(4, 9), "version 9"},
		"no envelope":    {change(6, 0), "0 envelopes"},
		"too many":       {change(5, 0xff), "envelopes"},
		"only its head":  {good[:packHead], "truncated"},
		"cut short":      {good[:len(good)-1], "truncated"},
		"bytes left":     {append(bytes.Clone(good), 'x'), "after the last"},
		"length too big": {change(packHead, 0xff), "truncated"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got, err := decodePack(c.data)
			for _, one := range got {
				if one.err != nil {
					err = one.err
				}
			}
			require.ErrorContains(t, err, c.want)
		})
	}
}

func TestEnvelope_that_fits_in_no_pack_is_refused(t *testing.T) {
	t.Parallel()
	env := envelope(1)
	env.Body = make([]byte, maxPackBytes)
	_, err := encodeEnvelope(env)
	require.ErrorIs(t, err, ErrTooLarge)
}

func FuzzDecodePack(f *testing.F) {
	f.Add([]byte(nil))
	f.Add(pack(f, envelope(1)))
	f.Add(pack(f, envelope(1), envelope(2)))
	f.Add(pack(f, envelope(1), envelope(2))[:100])
	f.Fuzz(func(t *testing.T, data []byte) {
		all, err := decodePack(data)
		if err != nil {
			require.Empty(t, all)
			return
		}
		require.NotEmpty(t, all, "a pack that could be read holds something")
		for _, one := range all {
			if one.err != nil {
				continue
			}
			again, err := encodeEnvelope(one.envelope)
			if err != nil {
				require.ErrorIs(t, err, ErrTooLarge)
				continue
			}
			back, rest := decodeRecord(again)
			require.NoError(t, back.err)
			require.Empty(t, rest)
			require.Equal(t, one.envelope, back.envelope)
		}
	})
}
