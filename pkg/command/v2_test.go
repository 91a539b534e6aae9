package command_test

import (
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/fenflow/fenflow/pkg/pay"
	"github.com/fenflow/fenflow/pkg/simulator"
)

// speaksV2 makes the merchant one of protocol v2, from now on.
func (b *bundle) speaksV2(signType string) {
	b.directory.credentials.Merchant.Protocol = pay.ProtocolV2
	b.directory.credentials.Merchant.SignTypeV2 = signType
}

func TestV2_an_order_lives_its_whole_life_over_protocol_v2(t *testing.T) {
	t.Parallel()
	for _, signType := range []string{"MD5", "HMAC-SHA256"} {
		t.Run(signType, func(t *testing.T) {
			t.Parallel()
			b := setup(t)
			b.speaksV2(signType)
			result, r := b.execute(b.create("T00000001"))
			require.Equal(t, http.StatusCreated, result.Status, string(result.Body))
			require.Equal(t, signType, r.Pay["signType"])
			require.Len(t, r.Pay["paySign"], map[string]int{"MD5": 32, "HMAC-SHA256": 64}[signType])
			require.True(t, strings.HasPrefix(r.Pay["package"], "prepay_id="))
			require.Contains(t, string(b.order("T00000001").PrepayRequest), "/notify/v2/"+b.merchant.Mchid)
			at, _ := b.platform.Order("T00000001")
			require.Equal(t, simulator.ProtocolV2, at.Protocol)
			native, n := b.execute(b.create("T00000002", func(f fields) { f["client"] = "native"; delete(f, "openid") }))
			require.Equal(t, http.StatusCreated, native.Status, string(native.Body))
			require.NotEmpty(t, n.Pay["code_url"])

			b.payAt("T00000001")
			status, r := b.check("T00000001")
			require.Equal(t, http.StatusOK, status)
			require.Equal(t, "paid", r.State)
			closed, r := b.execute(b.shut("T00000002"))
			require.Equal(t, http.StatusOK, closed.Status, string(closed.Body))
			require.Equal(t, "closed", r.State)
			closed, _ = b.execute(b.shut("T00000001"))
			require.Equal(t, http.StatusConflict, closed.Status)
			refund, _ := b.execute(b.refund("R1", fields{"out_trade_no": "T00000001", "amount_fen": 30}))
			require.Equal(t, http.StatusCreated, refund.Status, string(refund.Body))
			for _, e := range b.history("T00000001").Entries {
				if e.What == "paid" {
					require.Contains(t, e.KeyID, signType)
				}
			}
		})
	}
}

func TestV2_an_order_keeps_the_protocol_that_it_was_made_with(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.execute(b.create("T00000001"))
	b.speaksV2("MD5")
	again, r := b.execute(b.create("T00000001"))
	require.Equal(t, http.StatusOK, again.Status, string(again.Body))
	require.Equal(t, "RSA", r.Pay["signType"])
	b.execute(b.create("T00000002"))
	b.directory.credentials.Merchant.Protocol = pay.ProtocolV3
	again, r = b.execute(b.create("T00000002"))
	require.Equal(t, http.StatusOK, again.Status, string(again.Body))
	require.Equal(t, "MD5", r.Pay["signType"])
	require.Equal(t, pay.ProtocolV3, b.order("T00000001").Protocol)
	require.Equal(t, pay.ProtocolV2, b.order("T00000002").Protocol)
	for _, no := range []string{"T00000001", "T00000002"} {
		b.payAt(no)
		status, r := b.check(no)
		require.Equal(t, http.StatusOK, status)
		require.Equal(t, "paid", r.State, no)
	}
}

func TestV2_refuses_an_attach_that_is_too_long_for_it_unless_the_order_is_there(t *testing.T) {
	t.Parallel()
	b := setup(t)
	long := func(f fields) { f["attach"] = strings.Repeat("a", 128) }
	first, _ := b.execute(b.create("T00000001", long))
	require.Equal(t, http.StatusCreated, first.Status, string(first.Body))
	b.speaksV2("MD5")
	again, _ := b.execute(b.create("T00000001", long))
	require.Equal(t, http.StatusOK, again.Status, string(again.Body))
	result, r := b.execute(b.create("T00000002", long))
	require.Equal(t, http.StatusUnprocessableEntity, result.Status)
	require.Equal(t, "FEN-3001", r.Code)
	require.Zero(t, b.count(`SELECT count(*) FROM orders WHERE out_trade_no = 'T00000002'`))
}

func TestV2_without_its_keys_no_order_is_placed(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.speaksV2("MD5")
	b.directory.credentials.APIv2Keys = nil
	result, _ := b.execute(b.create("T00000001"))
	require.Equal(t, pay.CommandRefused, result.Outcome, string(result.Body))
	require.Zero(t, b.count(`SELECT count(*) FROM orders`))
	require.Empty(t, b.wire.prepays())
}
