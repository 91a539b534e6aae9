package command_test

import (
	"net/http"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/fenflow/fenflow/pkg/testkit/shopapi"
)

const schemaFile = "../../schema/openapi-shop.yaml"

// What the edge passes on as it is, is what the public contract says.
func TestAnswers_are_those_of_the_public_contract(t *testing.T) {
	t.Parallel()
	b := setup(t)
	schema := shopapi.Load(t, schemaFile)
	is := func(name string, want int) func(status int, body []byte) {
		return func(status int, body []byte) {
			require.Equal(t, want, status, string(body))
			schema.Is(t, name, body)
		}
	}
	for no, change := range map[string]func(fields){
		"T-jsapi-01": func(fields) {},
		"T-mini-01":  func(f fields) { f["client"] = "mini_program" },
		"T-native-1": func(f fields) { f["client"] = "native"; delete(f, "openid"); f["account_id"] = buyerAccount },
		"T-app-0001": func(f fields) { f["client"] = "app"; delete(f, "openid"); f["account_id"] = buyerAccount },
		"T-h5-00001": func(f fields) {
			f["client"], f["payer_client_ip"], f["h5_type"], f["account_id"] = "h5", "203.0.113.7", "Wap", buyerAccount
			delete(f, "openid")
		},
	} {
		result, _ := b.execute(b.create(no, change))
		is("Order", http.StatusCreated)(result.Status, result.Body)
		is("OwnOrder", http.StatusOK)(b.askAs(openid, b.service.WeChatOrder, no))
		is("PayParameters", http.StatusOK)(b.askAs(openid, b.service.WeChatPay, no))
	}
	b.paid("T-paid-001")
	is("OwnOrder", http.StatusOK)(b.askAs(openid, b.service.WeChatCheck, "T-paid-001"))
	is("Problem", http.StatusConflict)(b.askAs(openid, b.service.WeChatPay, "T-paid-001"))
	is("Problem", http.StatusNotFound)(b.askAs("somebody-else", b.service.WeChatPay, "T-paid-001"))
	refund, _ := b.execute(b.refund("R1", fields{"out_trade_no": "T-paid-001", "amount_fen": 60, "reason": "cold"}))
	is("Refund", http.StatusCreated)(refund.Status, refund.Body)
	is("Refund", http.StatusOK)(b.ask(b.service.ReadRefund, fields{"out_refund_no": "R1"}))
	is("Order", http.StatusOK)(b.ask(b.service.ReadOrder, fields{"out_trade_no": "T-paid-001"}))
	is("History", http.StatusOK)(b.ask(b.service.ReadHistory, fields{"out_trade_no": "T-paid-001"}))
	is("Command", http.StatusOK)(b.ask(b.service.ReadCommand, fields{"command_id": string(refund.ID)}))
	is("Problem", http.StatusNotFound)(b.ask(b.service.ReadCommand, fields{"command_id": "0191d5e4-7a3b-7c00-8000-00000000ffff"}))
	closed, _ := b.execute(b.shut("T-jsapi-01"))
	is("Order", http.StatusOK)(closed.Status, closed.Body)
}
