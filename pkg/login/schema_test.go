package login_test

import (
	"encoding/json"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/fenflow/fenflow/pkg/testkit/shopapi"
)

// What the edge passes on as it is, is what the public contract says.
func TestAnswers_are_those_of_the_public_contract(t *testing.T) {
	t.Parallel()
	s := setup(t)
	schema := shopapi.Load(t, "../../schema/openapi-shop.yaml")
	s.programs("c", "open-m", answer{"unionid": union})
	var session, account json.RawMessage
	require.NoError(t, s.ask(s.service.Login, answer{"appid": mini, "code": "c"}, &session))
	schema.Is(t, "Session", session)
	var w welcome
	require.NoError(t, json.Unmarshal(session, &w))
	require.NoError(t, s.ask(s.service.ReadAccount, answer{"mchid": shop, "account_id": w.AccountID}, &account))
	schema.Is(t, "Account", account)
	s.grants("qr", "open-1", "snsapi_base", nil)
	ticket, err := s.authorize(site, "qr")
	require.NoError(t, err)
	require.Regexp(t, "^[0-9A-Za-z_-]{16,256}$", ticket, "the schema's shape of a ticket")
}
