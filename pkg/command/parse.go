package command

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/fenflow/fenflow/pkg/merchant"
	"github.com/fenflow/fenflow/pkg/pay"
	"github.com/fenflow/fenflow/pkg/problem"
)

// request is the body of order.create on the wire; package ingest writes it.
type request struct {
	OutTradeNo  string     `json:"out_trade_no"`
	AppID       string     `json:"appid"`
	Client      string     `json:"client"`
	Description string     `json:"description"`
	AmountFen   int64      `json:"amount_fen"`
	Currency    string     `json:"currency"`
	OpenID      string     `json:"openid"`
	Attach      string     `json:"attach"`
	ExpiresAt   *time.Time `json:"expires_at"` // what the shop said; TimeExpire is what counts
	TimeExpire  time.Time  `json:"time_expire"`
	AccountID   string     `json:"account_id"`

	PayerClientIP string `json:"payer_client_ip"` // of an H5 order, as all below
	H5Type        string `json:"h5_type"`
	AppName       string `json:"app_name"`
	AppURL        string `json:"app_url"`
	BundleID      string `json:"bundle_id"`
	PackageName   string `json:"package_name"`
}

func (r request) scene() pay.Scene {
	return pay.Scene{
		PayerClientIP: r.PayerClientIP, Type: pay.H5Type(r.H5Type), AppName: r.AppName, AppURL: r.AppURL,
		BundleID: r.BundleID, PackageName: r.PackageName,
	}
}

// parse reads the order out of a command. The edge has checked it for the
// shop's sake; this is for ours: nothing unfit reaches the books.
func parse(cmd pay.Command, m merchant.Merchant) (pay.Order, *problem.Error) {
	var r request
	if bad := decode(cmd, &r); bad != nil {
		return pay.Order{}, bad
	}
	if fields := r.check(cmd, m); len(fields) > 0 {
		return pay.Order{}, problem.InvalidFields(fields...)
	}
	return pay.Order{
		MchID: cmd.MchID, OutTradeNo: cmd.OutTradeNo, AppID: pay.AppID(r.AppID), Client: pay.Client(r.Client),
		Protocol: cmp.Or(m.Protocol, pay.ProtocolV3), Description: r.Description, Amount: pay.Fen(r.AmountFen), Currency: r.Currency,
		OpenID: pay.OpenID(r.OpenID), Attach: r.Attach, Digest: cmd.Digest, State: pay.OrderCreated,
		ExpiresAt: r.TimeExpire.UTC(), AccountID: pay.AccountID(r.AccountID), Scene: r.scene(),
	}, nil
}

// decode reads the one document in a command's body, and nothing unknown in it.
func decode(cmd pay.Command, into any) *problem.Error {
	dec := json.NewDecoder(bytes.NewReader(cmd.Body))
	dec.DisallowUnknownFields()
	if err := dec.Decode(into); err != nil {
		return problem.Wrap(problem.Malformed, fmt.Errorf("body of %s does not parse", cmd.Kind), "the request cannot be read")
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return problem.New(problem.Malformed, "there is more than one document in the body")
	}
	return nil
}

func (r request) check(cmd pay.Command, m merchant.Merchant) []problem.Field {
	var fields []problem.Field
	bad := func(field, format string, args ...any) {
		fields = append(fields, problem.Field{Field: field, Message: fmt.Sprintf(format, args...)})
	}
	if _, err := pay.ParseOutTradeNo(r.OutTradeNo); err != nil {
		bad("out_trade_no", "%s", err)
	} else if r.OutTradeNo != string(cmd.OutTradeNo) {
		bad("out_trade_no", "is not the command's")
	}
	if !m.HasApp(pay.AppID(r.AppID)) {
		bad("appid", "is not one of merchant %s", m.MchID)
	}
	if r.AmountFen <= 0 {
		bad("amount_fen", "must be an integer greater than 0, got %d", r.AmountFen)
	}
	if r.Currency != pay.CNY {
		bad("currency", "must be %s", pay.CNY)
	}
	if r.TimeExpire.IsZero() {
		bad("time_expire", "is missing")
	}
	r.checkPayer(bad)
	r.checkScene(bad)
	for name, text := range map[string]string{
		"description": r.Description, "openid": r.OpenID, "attach": r.Attach,
		"app_name": r.AppName, "app_url": r.AppURL, "bundle_id": r.BundleID, "package_name": r.PackageName,
	} {
		if !storable(text) {
			bad(name, "must be UTF-8 without NUL")
		}
	}
	return fields
}

func (r request) checkPayer(bad func(field, format string, args ...any)) {
	client := pay.Client(r.Client)
	switch {
	case !client.Known():
		bad("client", "must be one of %v", pay.Clients())
	case client.NamesPayer() && r.OpenID == "":
		bad("openid", "is required for client %s", r.Client)
	case !client.NamesPayer() && r.OpenID != "":
		bad("openid", "has no meaning for client %s", r.Client)
	}
	if r.AccountID == "" {
		return
	}
	if _, err := pay.ParseAccountID(r.AccountID); err != nil {
		bad("account_id", "%s", err)
	} else if client.NamesPayer() {
		bad("account_id", "has no meaning for client %s", r.Client)
	}
}

func (r request) checkScene(bad func(field, format string, args ...any)) {
	if pay.Client(r.Client) != pay.ClientH5 {
		if r.scene() != (pay.Scene{}) {
			bad("payer_client_ip", "and what else tells of a page has a meaning for client h5 only")
		}
		return
	}
	if err := pay.CheckPayerIP(r.PayerClientIP); err != nil {
		bad("payer_client_ip", "%s", err)
	}
	if !pay.H5Type(r.H5Type).Known() {
		bad("h5_type", "must be Wap, iOS or Android")
	}
}

// storable: what PostgreSQL takes as text.
func storable(text string) bool { return utf8.ValidString(text) && !strings.ContainsRune(text, 0) }

// clip bounds outside text in a message.
func clip(s string) string {
	const most = 64
	s = strings.ToValidUTF8(s, "?")
	if len(s) > most {
		return strings.ToValidUTF8(s[:most], "") + "…"
	}
	return s
}
