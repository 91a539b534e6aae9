package operator_test

import (
	"net/http"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/fenflow/fenflow/pkg/pay"
)

// arrives has a buyer log in.
func (s *stage) arrives(a pay.Arrival) pay.AccountID {
	s.t.Helper()
	if a.MchID == "" {
		a.MchID = shop
	}
	a.At, a.LoggedIn = noon, true
	id, err := s.Arrive(s.t.Context(), a)
	require.NoError(s.t, err)
	return id
}

type buyer struct {
	AccountID  string `json:"account_id"`
	FoundBy    string `json:"found_by"`
	UnionID    string
	Nickname   string
	Phone      string
	Identities []struct{ AppID, OpenID string }
	Orders     []struct {
		OutTradeNo string `json:"out_trade_no"`
		AccountID  string `json:"account_id"`
	}
}

func TestAccounts_are_shown_by_any_id_with_their_orders(t *testing.T) {
	t.Parallel()
	s := setup(t)
	id := s.arrives(pay.Arrival{AppID: "wx1", OpenID: "open-1", UnionID: "union-1", Nickname: "茶客", Phone: "+86 13812345678"})
	s.arrives(pay.Arrival{AppID: "wx2", OpenID: "open-2", UnionID: "union-1"})
	o := order(shop, "order-0001")
	o.AccountID = id
	_, _, _, err := s.CreateOrder(t.Context(), o)
	require.NoError(t, err)
	s.place(shop, "order-0002")
	for given, by := range map[string]string{string(id): "account_id", "open-2": "openid", "union-1": "unionid"} {
		var b buyer
		s.get("/operator/v1/accounts/"+given).into(t, &b)
		require.Equal(t, string(id), b.AccountID)
		require.Equal(t, by, b.FoundBy)
		require.Equal(t, "茶客", b.Nickname)
		require.Equal(t, "***********5678", b.Phone)
		require.Len(t, b.Identities, 2)
		require.Len(t, b.Orders, 1)
		require.Equal(t, "order-0001", b.Orders[0].OutTradeNo)
		require.Equal(t, string(id), b.Orders[0].AccountID)
	}
	require.NotContains(t, s.logs.String(), "13812345678")
	require.Contains(t, s.get("/operator/v1/stories/order-0001").body, `"account_id":"`+string(id)+`"`)
	require.NotContains(t, s.get("/operator/v1/stories/order-0002").body, "account_id")
}

func TestAccounts_that_an_id_does_not_single_out_are_told(t *testing.T) {
	t.Parallel()
	s := setup(t)
	ours := s.arrives(pay.Arrival{AppID: "wx1", OpenID: "open-1"})
	theirs := s.arrives(pay.Arrival{MchID: other, AppID: "wx1", OpenID: "open-1"})
	several := s.get("/operator/v1/accounts/open-1").problem(t)
	require.Equal(t, "FEN-4058", several.Code)
	require.Contains(t, several.Detail, string(ours)+" of merchant 1900000109")
	require.Contains(t, several.Detail, string(theirs)+" of merchant 1900000110")
	var b buyer
	s.get("/operator/v1/accounts/open-1?mchid=1900000110").into(t, &b)
	require.Equal(t, string(theirs), b.AccountID)

	none := s.get("/operator/v1/accounts/open-3")
	require.Equal(t, http.StatusNotFound, none.status)
	require.Equal(t, "FEN-4057", none.problem(t).Code)
	require.Equal(t, "FEN-4057", s.get("/operator/v1/accounts/"+string(ours)+"?mchid=1900000110").problem(t).Code)
	require.Equal(t, "FEN-3001", s.get("/operator/v1/accounts/open%201").problem(t).Code)
	require.Equal(t, "FEN-3001", s.get("/operator/v1/accounts/open-1?limit=1").problem(t).Code)
}
