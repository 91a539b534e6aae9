package main

import (
	"context"
	"encoding/json"
	"net/http"
	"strings"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/fenflow/fenflow/pkg/app/devstack"
)

// login has somebody whom the stand-in did not know log in through the mini program,
// phone number included. Session and number are told to nobody.
func login(ts *testscript.TestScript, stack *devstack.Stack, args []string) {
	appid, user, name := stack.Merchant().Appid, args[0], args[1]
	var code, phone, session struct {
		Code      string `json:"code"`
		OpenID    string `json:"openid"`
		AccountID string `json:"account_id"`
	}
	sent(ts, stack.SimulatorURL()+"/control/weixin/users", map[string]string{"user": user, "phone": "13900000004"}, &struct{}{})
	sent(ts, stack.SimulatorURL()+"/control/weixin/codes", map[string]string{"appid": appid, "user": user, "kind": "mini"}, &code)
	sent(ts, stack.SimulatorURL()+"/control/weixin/codes", map[string]string{"appid": appid, "user": user, "kind": "phone"}, &phone)
	sent(ts, stack.FrontURL()+"/wx/login/"+appid, map[string]string{"code": code.Code, "phone_code": phone.Code}, &session)
	ts.Setenv(name, session.AccountID)
	ts.Setenv(name+"_OPENID", code.OpenID)
}

// sent posts a document, and reads one.
func sent(ts *testscript.TestScript, url string, document, into any) {
	body, err := json.Marshal(document)
	ts.Check(err)
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, url, strings.NewReader(string(body)))
	ts.Check(err)
	request.Header.Set("Content-Type", "application/json")
	answer, err := http.DefaultClient.Do(request)
	ts.Check(err)
	if answer.StatusCode >= http.StatusBadRequest {
		ts.Fatalf("%s answers %s", url, answer.Status)
	}
	ts.Check(json.NewDecoder(answer.Body).Decode(into))
	ts.Check(answer.Body.Close())
}
