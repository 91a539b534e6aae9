package pay_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/fenflow/fenflow/pkg/pay"
)

func TestParse_numbers(t *testing.T) {
	t.Parallel()
	for _, good := range []string{"T12345", "a-b_c|d*e", strings.Repeat("9", 32)} {
		_, err := pay.ParseOutTradeNo(good)
		require.NoError(t, err, good)
	}
	for _, bad := range []string{"", "T1234", strings.Repeat("9", 33), "T1234 5", "T12345\n", "订单号123456", "T/12345", "T12345\x00"} {
		_, err := pay.ParseOutTradeNo(bad)
		require.ErrorContains(t, err, "out_trade_no must be", "%q", bad)
	}
	_, err := pay.ParseMchID("19000001O9")
	require.ErrorContains(t, err, "8 to 32 digits")
	_, err = pay.ParseAppID("")
	require.ErrorContains(t, err, "appid must be")
}

func TestFen_prints_yuan(t *testing.T) {
	t.Parallel()
	for fen, want := range map[pay.Fen]string{0: "0.00", 1: "0.01", 100: "1.00", 123456: "1234.56", -5: "-0.05"} {
		require.Equal(t, want, fen.String())
	}
}
