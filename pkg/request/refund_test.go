package request_test

import (
	"crypto/sha256"
	"encoding/hex"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/fenflow/fenflow/pkg/problem"
	"github.com/fenflow/fenflow/pkg/request"
)

// Refunds in the books have this digest: another text would make a conflict of
// every repeat.
func TestRefund_Digest_is_that_of_the_refunds_in_the_books(t *testing.T) {
	t.Parallel()
	r, err := request.ParseRefund([]byte(`{"out_refund_no":"R1","transaction_id":"4200000001","amount_fen":880,"reason":"茶凉了"}`))
	require.NoError(t, err)
	sum := sha256.Sum256([]byte("fenflow:refund.create.v1\nmchid:1900000109\nout_refund_no:R1\nout_trade_no:\ntransaction_id:4200000001\namount_fen:880\nreason:茶凉了\n"))
	require.Equal(t, hex.EncodeToString(sum[:]), r.Digest("1900000109"))
	require.NotEqual(t, r.Digest("1900000109"), r.Digest("1900000110"), "merchants may use the same number")
}

// A person may ask for the refund that a shop asked for: it is the same one.
func TestRefundOf_means_the_same_under_another_name_of_the_reason(t *testing.T) {
	t.Parallel()
	shop, err := request.ParseRefund([]byte(`{"out_refund_no":"R1","out_trade_no":"order-0001","amount_fen":880,"reason":"茶凉了"}`))
	require.NoError(t, err)
	f, err := request.Read([]byte(`{"amount_fen":880,"buyer_reason":"茶凉了","out_refund_no":"R1","out_trade_no":"order-0001"}`))
	require.NoError(t, err)
	person := request.RefundOf(f, "buyer_reason")
	require.NoError(t, f.Done())
	require.Equal(t, shop, person)
}

func TestRead_takes_nothing_that_could_mean_two_things(t *testing.T) {
	t.Parallel()
	for _, body := range []string{`{"amount_fen":1,"amount_fen":2,"out_refund_no":"R1","out_trade_no":"order-0001"}`, `{"Amount_Fen":1,"out_refund_no":"R1","out_trade_no":"order-0001"}`} {
		_, err := request.ParseRefund([]byte(body))
		require.Equal(t, problem.Invalid, problem.KindOf(err), body)
	}
	for _, body := range []string{``, `[]`, `{} {}`, "\xef\xbb\xbf{}", "{\"a\":\"\xff\"}"} {
		_, err := request.Read([]byte(body))
		require.Equal(t, problem.Malformed, problem.KindOf(err), body)
	}
}
