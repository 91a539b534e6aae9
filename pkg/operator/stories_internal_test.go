package operator

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/fenflow/fenflow/pkg/pay"
	"github.com/fenflow/fenflow/pkg/problem"
)

func TestChoose_leaves_every_order_a_name(t *testing.T) {
	t.Parallel()
	named := pay.Match{MchID: "1900000109", OutTradeNo: "same-1", FoundBy: pay.FoundByOutTradeNo}
	refunded := pay.Match{MchID: "1900000109", OutTradeNo: "tea-1", FoundBy: pay.FoundByOutRefundNo}
	again := pay.Match{MchID: "1900000109", OutTradeNo: "same-1", FoundBy: pay.FoundByOutRefundNo}

	got, err := choose([]pay.Match{named, again}, "same-1", "")
	require.NoError(t, err, "two numbers of one order are no two orders")
	require.Equal(t, named, got)

	_, err = choose([]pay.Match{refunded, named}, "same-1", "")
	require.Equal(t, problem.AmbiguousNumber, problem.KindOf(err))
	var several *ambiguousError
	require.ErrorAs(t, err, &several)
	require.Len(t, several.candidates, 2)

	got, err = choose([]pay.Match{refunded, named}, "same-1", "1900000109")
	require.NoError(t, err)
	require.Equal(t, named, got, "the out_trade_no comes first where the merchant is named")
	_, err = choose(nil, "same-1", "")
	require.Equal(t, problem.UnknownNumber, problem.KindOf(err))
}
