package ingest

import (
	"encoding/json"
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/fenflow/fenflow/pkg/merchant"
	"github.com/fenflow/fenflow/pkg/pay"
	"github.com/fenflow/fenflow/pkg/request"
)

// Limits of an order (WeChat Pay doc 4012791834, except for the amount).
const (
	maxDescription = 127
	maxAttach      = 128
	maxOpenID      = 128
	// WeChat Pay cuts lifetimes of over 90 days silently (doc 4012525167); here
	// they are refused. Whether there is time left only matters to a new order:
	// the worker, who knows which are new, refuses those that are too short.
	maxLifetime = 90 * 24 * time.Hour
	// defaultLifetime is as long as a first credential lasts.
	defaultLifetime = 2 * time.Hour
)

// openIDShape is wider than what WeChat gives out (28 of these), and narrow
// enough for every log and table.
var openIDShape = regexp.MustCompile(`^[0-9A-Za-z_\-]{1,128}$`)

// newOrder is what a shop asked for, every field in order.
type newOrder struct {
	OutTradeNo  pay.OutTradeNo
	AppID       pay.AppID
	Client      pay.Client
	Description string
	Amount      pay.Fen
	Currency    string
	OpenID      pay.OpenID
	Attach      string
	ExpiresAt   time.Time // zero: not given
	AccountID   pay.AccountID
	Scene       pay.Scene
}

// commandBody is a command's body on the bus; doc.go documents it.
type commandBody struct {
	OutTradeNo  string `json:"out_trade_no"`
	AppID       string `json:"appid"`
	Client      string `json:"client"`
	Description string `json:"description"`
	AmountFen   int64  `json:"amount_fen"`
	Currency    string `json:"currency"`
	OpenID      string `json:"openid,omitempty"`
	Attach      string `json:"attach,omitempty"`
	ExpiresAt   string `json:"expires_at,omitempty"`
	TimeExpire  string `json:"time_expire"`
	AccountID   string `json:"account_id,omitempty"`

	sceneBody
}

// parseOrder reads the body of POST /v1/orders. Its error is a problem: the
// body cannot be read, or these fields are wrong.
func parseOrder(raw []byte, m merchant.Merchant, now time.Time) (newOrder, error) {
	f, err := request.Read(raw)
	if err != nil {
		return newOrder{}, err //nolint:wrapcheck // it is a problem
	}
	o := newOrder{
		OutTradeNo:  pay.OutTradeNo(f.Text("out_trade_no", true, request.MaxShort)),
		AppID:       pay.AppID(f.Text("appid", true, request.MaxShort)),
		Client:      pay.Client(f.Text("client", true, request.MaxShort)),
		Description: f.Text("description", true, maxDescription),
		Amount:      pay.Fen(f.Fen("amount_fen")),
		Currency:    f.Text("currency", true, request.MaxShort),
		OpenID:      pay.OpenID(f.Text("openid", false, maxOpenID)),
		Attach:      f.Text("attach", false, maxAttach),
	}
	o.AccountID = pay.AccountID(f.Text("account_id", false, request.MaxShort))
	o.Scene = sceneOf(f)
	o.ExpiresAt = instant(f, "expires_at", now.Add(maxLifetime))
	o.check(f, m)
	return o, f.Done()
}

// check applies the rules of each field that could be read.
func (o newOrder) check(f *request.Fields, m merchant.Merchant) {
	if o.OutTradeNo != "" {
		if _, err := pay.ParseOutTradeNo(string(o.OutTradeNo)); err != nil {
			f.Bad("out_trade_no", "is %q; it must be 6 to 32 of 0-9 A-Z a-z _ - | *", string(o.OutTradeNo))
		}
	}
	if o.AppID != "" && !m.HasApp(o.AppID) {
		f.Bad("appid", "is %q; it must be an app of merchant %s: %s", string(o.AppID), m.MchID, appIDs(m))
	}
	if o.Currency != "" && o.Currency != pay.CNY {
		f.Bad("currency", "is %q; it must be %s", o.Currency, pay.CNY)
	}
	o.checkClient(f)
}

// checkClient: a buyer inside WeChat is named by openid; any other is not known
// before paying, unless the shop knows the account.
func (o newOrder) checkClient(f *request.Fields) {
	given := f.Given("openid")
	switch {
	case o.Client == "":
	case !o.Client.Known():
		f.Bad("client", "is %q; it must be %s", string(o.Client), clientNames())
	case o.Client.NamesPayer() && !given:
		f.Bad("openid", "is missing; client %q needs the buyer's openid for this appid", string(o.Client))
	case !o.Client.NamesPayer() && given:
		f.Bad("openid", "is given; client %q has none, because the buyer is not known to WeChat Pay before paying; name the buyer's account with account_id", string(o.Client))
	}
	if o.OpenID != "" && !openIDShape.MatchString(string(o.OpenID)) {
		f.Bad("openid", "is %q; it must be letters, digits, _ and -", string(o.OpenID))
	}
	o.checkAccount(f)
	if o.Client.Known() {
		checkScene(f, o.Client, o.Scene)
	}
}

func (o newOrder) checkAccount(f *request.Fields) {
	if o.AccountID == "" {
		return
	}
	if o.Client.NamesPayer() {
		f.Bad("account_id", "is given; the buyer of client %q is named by openid", string(o.Client))
	}
	if _, err := pay.ParseAccountID(string(o.AccountID)); err != nil {
		f.Bad("account_id", "is %q; it must be a UUID in lower case, as a login or POST /v1/sessions/introspect gives it", string(o.AccountID))
	}
}

// clientNames are the clients, as a sentence lists them.
func clientNames() string {
	names := make([]string, 0, len(pay.Clients()))
	for _, c := range pay.Clients() {
		names = append(names, string(c))
	}
	last := len(names) - 1
	return strings.Join(names[:last], ", ") + " or " + names[last]
}

func appIDs(m merchant.Merchant) string {
	ids := make([]string, len(m.Apps))
	for i, app := range m.Apps {
		ids[i] = string(app.AppID)
	}
	return strings.Join(ids, ", ")
}

// instant reads an RFC 3339 time, in whole seconds as WeChat Pay counts them.
func instant(f *request.Fields, name string, until time.Time) time.Time {
	s := f.Text(name, false, request.MaxShort)
	if s == "" {
		return time.Time{}
	}
	at, err := time.Parse(time.RFC3339, s)
	at = at.UTC().Truncate(time.Second)
	switch {
	case err != nil:
		f.Bad(name, "is %q; it must be a time as in RFC 3339, such as 2026-12-31T23:59:59+08:00", s)
	case at.After(until):
		f.Bad(name, "is %q; it must be at most 90 days from now", s)
	default:
		return at
	}
	return time.Time{}
}

// digest tells this order from any other.
func (o newOrder) digest(id pay.MchID) string {
	expires := ""
	if !o.ExpiresAt.IsZero() {
		expires = o.ExpiresAt.Format(time.RFC3339)
	}
	return request.Digest(append([]request.Meaning{
		{Name: "fenflow", Value: "order.create.v1"}, {Name: "mchid", Value: string(id)}, {Name: "out_trade_no", Value: string(o.OutTradeNo)},
		{Name: "appid", Value: string(o.AppID)}, {Name: "client", Value: string(o.Client)}, {Name: "description", Value: o.Description},
		{Name: "amount_fen", Value: strconv.FormatInt(int64(o.Amount), 10)}, {Name: "currency", Value: o.Currency},
		{Name: "openid", Value: string(o.OpenID)}, {Name: "attach", Value: o.Attach}, {Name: "expires_at", Value: expires},
	}, o.latecomers()...)...)
}

// latecomers are what orders could not say at first: part of the digest only where
// they are said, so that the digests of all other orders stay what they were.
func (o newOrder) latecomers() []request.Meaning {
	var said []request.Meaning
	if o.AccountID != "" {
		said = append(said, request.Meaning{Name: "account_id", Value: string(o.AccountID)})
	}
	return append(said, sceneMeaning(o.Scene)...)
}

// body writes the order for the worker.
func (o newOrder) body(receivedAt time.Time) ([]byte, error) {
	b := commandBody{
		OutTradeNo: string(o.OutTradeNo), AppID: string(o.AppID), Client: string(o.Client), Description: o.Description,
		AmountFen: int64(o.Amount), Currency: o.Currency, OpenID: string(o.OpenID), Attach: o.Attach,
		TimeExpire: receivedAt.Add(defaultLifetime).UTC().Truncate(time.Second).Format(time.RFC3339),
		AccountID:  string(o.AccountID), sceneBody: bodyOf(o.Scene),
	}
	if !o.ExpiresAt.IsZero() {
		b.ExpiresAt = o.ExpiresAt.Format(time.RFC3339)
		b.TimeExpire = b.ExpiresAt
	}
	raw, err := json.Marshal(b)
	if err != nil {
		return nil, fmt.Errorf("write command: %w", err)
	}
	return raw, nil
}
