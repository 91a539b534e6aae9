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
	"github.com/fenflow/fenflow/pkg/problem"
)

// Limits of an order (WeChat Pay doc 4012791834, except for the amount).
const (
	maxDescription = 127
	maxAttach      = 128
	maxOpenID      = 128
	maxText        = 64 // of fields whose shape is checked anyway
	// maxAmountFen is ours: 100 million yuan is a mistake, not a price.
	maxAmountFen = 10_000_000_000
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
}

// parseOrder reads the body of POST /v1/orders. Its error is a problem: the
// body cannot be read, or these fields are wrong.
func parseOrder(raw []byte, m merchant.Merchant, now time.Time) (newOrder, error) {
	fields, twice, err := parseObject(raw)
	if err != nil {
		return newOrder{}, problem.New(problem.Malformed, err.Error())
	}
	f := newFieldReader(fields, twice)
	o := newOrder{
		OutTradeNo:  pay.OutTradeNo(f.text("out_trade_no", true, maxText)),
		AppID:       pay.AppID(f.text("appid", true, maxText)),
		Client:      pay.Client(f.text("client", true, maxText)),
		Description: f.text("description", true, maxDescription),
		Amount:      pay.Fen(f.fen("amount_fen", maxAmountFen)),
		Currency:    f.text("currency", true, maxText),
		OpenID:      pay.OpenID(f.text("openid", false, maxOpenID)),
		Attach:      f.text("attach", false, maxAttach),
	}
	o.ExpiresAt = f.instant("expires_at", now.Add(maxLifetime))
	o.check(f, m)
	if problems := f.done(); len(problems) > 0 {
		return newOrder{}, problem.InvalidFields(problems...)
	}
	return o, nil
}

// check applies the rules of each field that could be read.
func (o newOrder) check(f *fieldReader, m merchant.Merchant) {
	if o.OutTradeNo != "" {
		if _, err := pay.ParseOutTradeNo(string(o.OutTradeNo)); err != nil {
			f.bad("out_trade_no", "is %q; it must be 6 to 32 of 0-9 A-Z a-z _ - | *", string(o.OutTradeNo))
		}
	}
	if o.AppID != "" && !m.HasApp(o.AppID) {
		f.bad("appid", "is %q; it must be an app of merchant %s: %s", string(o.AppID), m.MchID, appIDs(m))
	}
	if o.Currency != "" && o.Currency != pay.CNY {
		f.bad("currency", "is %q; it must be %s", o.Currency, pay.CNY)
	}
	o.checkClient(f)
}

// checkClient: a buyer inside WeChat is named by openid; whoever scans a code
// is not known yet.
func (o newOrder) checkClient(f *fieldReader) {
	_, given := f.object["openid"]
	switch o.Client {
	case "":
	case pay.ClientJSAPI, pay.ClientMiniProgram:
		if !given {
			f.bad("openid", "is missing; client %q needs the buyer's openid for this appid", string(o.Client))
		}
	case pay.ClientNative:
		if given {
			f.bad("openid", "is given; client %q has none, because the buyer is not known before the code is scanned", string(o.Client))
		}
	default:
		f.bad("client", "is %q; it must be %s, %s or %s", string(o.Client), pay.ClientJSAPI, pay.ClientMiniProgram, pay.ClientNative)
	}
	if o.OpenID != "" && !openIDShape.MatchString(string(o.OpenID)) {
		f.bad("openid", "is %q; it must be letters, digits, _ and -", string(o.OpenID))
	}
}

func appIDs(m merchant.Merchant) string {
	ids := make([]string, len(m.Apps))
	for i, app := range m.Apps {
		ids[i] = string(app.AppID)
	}
	return strings.Join(ids, ", ")
}

// instant reads an RFC 3339 time, in whole seconds as WeChat Pay counts them.
func (f *fieldReader) instant(name string, until time.Time) time.Time {
	if _, there := f.object[name]; !there {
		f.asked[name] = true
		return time.Time{}
	}
	s := f.text(name, false, maxText)
	if s == "" {
		return time.Time{}
	}
	at, err := time.Parse(time.RFC3339, s)
	at = at.UTC().Truncate(time.Second)
	switch {
	case err != nil:
		f.bad(name, "is %q; it must be a time as in RFC 3339, such as 2026-12-31T23:59:59+08:00", s)
	case at.After(until):
		f.bad(name, "is %q; it must be at most 90 days from now", s)
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
	return digestOf([]meaning{
		{"fenflow", "order.create.v1"}, {"mchid", string(id)}, {"out_trade_no", string(o.OutTradeNo)}, {"appid", string(o.AppID)},
		{"client", string(o.Client)}, {"description", o.Description}, {"amount_fen", strconv.FormatInt(int64(o.Amount), 10)},
		{"currency", o.Currency}, {"openid", string(o.OpenID)}, {"attach", o.Attach}, {"expires_at", expires},
	})
}

// body writes the order for the worker.
func (o newOrder) body(receivedAt time.Time) ([]byte, error) {
	b := commandBody{
		OutTradeNo: string(o.OutTradeNo), AppID: string(o.AppID), Client: string(o.Client), Description: o.Description,
		AmountFen: int64(o.Amount), Currency: o.Currency, OpenID: string(o.OpenID), Attach: o.Attach,
		TimeExpire: receivedAt.Add(defaultLifetime).UTC().Truncate(time.Second).Format(time.RFC3339),
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
