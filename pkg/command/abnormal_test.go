package command_test

import (
	"bytes"
	"crypto/rsa"
	"crypto/sha1"
	"encoding/base64"
	"encoding/json"
	"log/slog"
	"net/http"
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/sync/errgroup"

	"github.com/fenflow/fenflow/pkg/command"
	"github.com/fenflow/fenflow/pkg/pay"
)

const account, holder = "6222021234567890123", "张三"

// word lets WeChat Pay say where a refund of T00000001 stands.
func (b *bundle) word(no pay.OutRefundNo, state pay.RefundState) {
	b.t.Helper()
	refund, found, err := b.store.Refund(b.t.Context(), pay.MchID(b.merchant.Mchid), no)
	require.NoError(b.t, err)
	require.True(b.t, found)
	_, err = b.store.Settle(b.t.Context(), []pay.Entry{{Observation: &pay.Observation{
		Kind: pay.ObservedRefund, Source: pay.SourceQuery, ObservedAt: b.clock.Now(), KeyID: b.merchant.PublicKeyID, MchID: refund.MchID,
		OutTradeNo: refund.OutTradeNo, TransactionID: refund.TransactionID, OutRefundNo: no, RefundID: "50000000001", RefundAmount: refund.Amount, RefundState: state,
	}}}, func(pay.MchID) pay.Policies { return pay.Policies{} })
	require.NoError(b.t, err)
}

func card(no string) fields {
	return fields{"out_refund_no": no, "actor": "shop", "type": "USER_BANK_CARD", "bank_type": "ICBC_DEBIT", "bank_account": account, "real_name": holder}
}

func TestAbnormal_account_and_name_are_kept_for_WeChat_Pays_eyes_only(t *testing.T) {
	t.Parallel()
	b := setup(t)
	var said bytes.Buffer
	b.restart(func(o *command.Options) { o.Log = slog.New(slog.NewTextHandler(&said, nil)) })
	b.paid("T00000001")
	b.execute(b.refund("R1", fields{"out_trade_no": "T00000001", "amount_fen": 30}))
	b.word("R1", pay.RefundAbnormal)
	b.waker.refunds = nil
	status, body := b.ask(b.service.ActAbnormal, card("R1"))
	require.Equal(t, http.StatusAccepted, status, string(body))
	require.Equal(t, "abnormal", parse(t, body).State)
	require.Equal(t, []pay.OutRefundNo{"R1"}, b.waker.refunds)

	var kept []byte
	var api, key string
	require.NoError(t, b.db.QueryRowContext(t.Context(), `SELECT abnormal_request, check_api, abnormal_key_id FROM refunds`).Scan(&kept, &api, &key))
	require.Equal(t, "refund_abnormal", api)
	require.Equal(t, b.merchant.PublicKeyID, key)
	var sent map[string]string
	require.NoError(t, json.Unmarshal(kept, &sent))
	require.Equal(t, account, b.unseal(sent["bank_account"]))
	require.Equal(t, holder, b.unseal(sent["real_name"]))
	require.Equal(t, "R1", sent["out_refund_no"])
	require.Equal(t, 1, b.count(`SELECT count(*) FROM audit WHERE actor = 'shop'`))
	for _, text := range []string{string(kept), string(body), said.String()} {
		require.NotContains(t, text, account)
		require.NotContains(t, text, holder)
	}
	require.Contains(t, said.String(), "out_refund_no=R1")
	require.Zero(t, b.count(`SELECT count(*) FROM audit AS a WHERE to_jsonb(a)::text LIKE '%' || $1 || '%' OR to_jsonb(a)::text LIKE '%' || $2 || '%'`, account, holder))
}

// unseal decrypts as WeChat Pay does.
func (b *bundle) unseal(text string) string {
	b.t.Helper()
	sealed, err := base64.StdEncoding.DecodeString(text)
	require.NoError(b.t, err)
	plain, err := rsa.DecryptOAEP(sha1.New(), nil, b.merchant.WechatpayKey, sealed, nil)
	require.NoError(b.t, err)
	return string(plain)
}

func TestAbnormal_only_an_abnormal_refund_is_driven_on(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.paid("T00000001")
	status, body := b.ask(b.service.ActAbnormal, card("R1"))
	require.Equal(t, http.StatusNotFound, status, string(body))
	b.execute(b.refund("R1", fields{"out_trade_no": "T00000001", "amount_fen": 30}))
	for _, state := range []pay.RefundState{"", pay.RefundProcessing, pay.RefundAbnormal, pay.RefundSucceeded} {
		if state != "" {
			b.word("R1", state)
		}
		status, body = b.ask(b.service.ActAbnormal, fields{"out_refund_no": "R1", "actor": "shop", "type": "MERCHANT_BANK_CARD"})
		if state == pay.RefundAbnormal {
			require.Equal(t, http.StatusAccepted, status, string(body))
			continue
		}
		require.Equal(t, http.StatusConflict, status, string(body))
		require.Equal(t, "FEN-4010", parse(t, body).Code)
	}
}

func TestAbnormal_a_wish_that_is_under_way_is_not_replaced(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.paid("T00000001")
	b.execute(b.refund("R1", fields{"out_trade_no": "T00000001", "amount_fen": 30}))
	b.word("R1", pay.RefundAbnormal)
	b.waker.refunds = nil
	wish := card("R1")
	wish["mchid"] = b.merchant.Mchid
	question, err := json.Marshal(wish)
	require.NoError(t, err)
	const twins = 6
	answers := make([][]byte, twins)
	var together errgroup.Group
	for i := range answers {
		together.Go(func() (err error) {
			answers[i], err = b.service.ActAbnormal(t.Context(), question)
			return err
		})
	}
	require.NoError(t, together.Wait())
	accepted := 0
	for _, answer := range answers {
		if status, body := unwrap(t, answer); status == http.StatusConflict {
			require.Equal(t, "FEN-4011", parse(t, body).Code)
		} else {
			require.Equal(t, http.StatusAccepted, status, string(body))
			accepted++
		}
	}
	require.Equal(t, 1, accepted)
	require.Len(t, b.waker.refunds, 1)
	require.Equal(t, 1, b.count(`SELECT count(*) FROM audit WHERE action = 'refund.drive_on'`))
}

func TestAbnormal_refuses_what_names_no_card(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.paid("T00000001")
	b.execute(b.refund("R1", fields{"out_trade_no": "T00000001", "amount_fen": 30}))
	b.word("R1", pay.RefundAbnormal)
	for name, change := range map[string]func(fields){
		"no type":        func(f fields) { delete(f, "type") },
		"another type":   func(f fields) { f["type"] = "CASH" },
		"no account":     func(f fields) { delete(f, "bank_account") },
		"no name":        func(f fields) { delete(f, "real_name") },
		"not for a card": func(f fields) { f["type"] = "MERCHANT_BANK_CARD" },
		"too long":       func(f fields) { f["bank_account"] = string(bytes.Repeat([]byte("1"), 215)) },
		"nobody":         func(f fields) { delete(f, "actor") },
	} {
		f := card("R1")
		change(f)
		status, body := b.ask(b.service.ActAbnormal, f)
		require.Equal(t, http.StatusUnprocessableEntity, status, name)
		require.NotContains(t, string(body), account, name)
	}
	_, err := b.service.ActAbnormal(t.Context(), []byte(`{"bank_account":`+account))
	require.Error(t, err)
	require.NotContains(t, err.Error(), account)
	require.Zero(t, b.count(`SELECT count(*) FROM refunds WHERE abnormal_request IS NOT NULL`))
}

func TestAbnormal_a_v2_refund_is_driven_on_in_the_merchant_platform(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.speaksV2("HMAC-SHA256")
	b.paid("T00000001")
	b.execute(b.refund("R1", fields{"out_trade_no": "T00000001", "amount_fen": 30}))
	b.word("R1", pay.RefundAbnormal)
	status, body := b.ask(b.service.ActAbnormal, card("R1"))
	require.Equal(t, http.StatusUnprocessableEntity, status, string(body))
	require.Contains(t, string(body), "merchant platform")
}
