package operator

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"slices"
	"strconv"
	"time"

	"github.com/go-chi/chi/v5"

	"github.com/fenflow/fenflow/pkg/pay"
	"github.com/fenflow/fenflow/pkg/problem"
)

// Bounds of a check, as in schema/openapi.yaml.
const (
	defaultCount = 1000
	maxCount     = 10_000
	maxKeyText   = 4096 // a public key in PEM has 451 bytes
)

func (a *API) routeMerchants(r chi.Router) {
	a.route(r, http.MethodGet, "/operator/v1/merchants", a.listMerchants)
	a.route(r, http.MethodGet, "/operator/v1/merchants/{mchid}/check", a.checkMerchant)
}

// merchantKeys is a merchant as a worker tells of it, with what the books know.
type merchantKeys struct {
	MchID       pay.MchID       `json:"mchid"`
	Name        string          `json:"name,omitempty"`
	Protocol    string          `json:"protocol"`
	Apps        json.RawMessage `json:"apps"`
	Keys        json.RawMessage `json:"keys"`
	Certificate json.RawMessage `json:"api_certificate,omitempty"`
	Expires     json.RawMessage `json:"expires,omitempty"`
	Missing     []string        `json:"missing"`

	Gear               string    `json:"gear"`
	LastNotificationAt time.Time `json:"last_notification_at,omitzero"`
}

type merchantList struct {
	Merchants []merchantKeys `json:"merchants"`
}

func (a *API) listMerchants(w http.ResponseWriter, c *call) error {
	if err := c.query.done(); err != nil {
		return err
	}
	d, err := askFor[merchantList](c.Context(), a, subjectKeys, struct{}{}, askAgain)
	if err != nil {
		return err
	}
	d.Merchants = append([]merchantKeys{}, d.Merchants...)
	overview, err := a.Books.Overview(c.Context())
	if err != nil {
		return fmt.Errorf("read gears: %w", err)
	}
	for i := range d.Merchants {
		m := &d.Merchants[i]
		m.Gear = gearUnknown
		if judged, there := overview.Gears[m.MchID]; there {
			m.Gear = string(judged)
		}
		last, err := a.Books.ListDeliveries(c.Context(), pay.DeliveryFilter{MchID: m.MchID, Limit: 1})
		if err != nil {
			return fmt.Errorf("read the latest notification: %w", err)
		}
		if len(last.Deliveries) > 0 {
			m.LastNotificationAt = last.Deliveries[0].ReceivedAt
		}
	}
	return answer(w, d)
}

// keyQuestion is what a worker checks.
type keyQuestion struct {
	MchID   pay.MchID `json:"mchid"`
	Count   int       `json:"count"`
	Without string    `json:"without,omitempty"`
	Only    string    `json:"only,omitempty"`
	With    *newKey   `json:"with,omitempty"`
	Live    bool      `json:"live,omitempty"`
}

type newKey struct {
	ID  string `json:"key_id"`
	PEM string `json:"pem"`
}

func (a *API) checkMerchant(w http.ResponseWriter, c *call) error {
	q := c.query
	text := pathValue(c.Request, "mchid")
	mchid, err := pay.ParseMchID(text)
	if err != nil {
		q.bad("mchid", "is %s; it must be 8 to 32 digits", shown(text))
	}
	asked := keyQuestion{MchID: mchid, Count: q.count(), Without: q.atMost("without", maxNumber), Only: word(q, "only", "public_key", "platform_certificate"), Live: q.yes("live")}
	if id, pem := q.atMost("with_key_id", maxNumber), q.atMost("with_pem", maxKeyText); id != "" || pem != "" {
		asked.With = &newKey{id, pem}
		if id == "" || pem == "" {
			q.bad("with_key_id", "and with_pem are given together: a key, and what it is called")
		}
	}
	if err := q.done(); err != nil {
		return err
	}
	if asked.Live && c.token.Role != pay.TokenOperate {
		return problem.Newf(problem.Forbidden, "live calls WeChat Pay, and token %q has role %s", c.token.Name, c.token.Role)
	}
	note(w, slog.String("mchid", string(mchid)), slog.Bool("live", asked.Live))
	return a.pass(w, c, subjectMerchant, asked, "Send the same request again, with a smaller count: nothing was changed.")
}

func (q *query) count() int {
	s := q.text("count")
	if s == "" {
		return defaultCount
	}
	n, err := strconv.Atoi(s)
	if err != nil || n < 1 || n > maxCount {
		q.bad("count", "is %s; it must be a number from 1 to %d", shown(s), maxCount)
	}
	return n
}

func (q *query) atMost(name string, most int) string {
	s := q.text(name)
	if len(s) > most {
		q.bad(name, "has %d bytes; it may have %d", len(s), most)
	}
	return s
}

func (q *query) yes(name string) bool {
	s := q.text(name)
	if s != "" && s != "true" && s != "false" {
		q.bad(name, "is %s; it must be true or false", shown(s))
	}
	return s == "true"
}

// keyStatus is what of a merchant expires first, and what it lacks.
type keyStatus struct {
	MchID   pay.MchID       `json:"mchid"`
	Expires json.RawMessage `json:"expires,omitempty"`
	Missing []string        `json:"missing"`
}

// keyStatuses asks a worker; where none answers, the status says why it tells
// nothing of keys, and the rest of it stands.
func (a *API) keyStatuses(ctx context.Context) (all []keyStatus, unknown string) {
	if a.Worker == nil {
		return nil, "this console has no way to a worker (nats.url)"
	}
	raw, err := a.Worker.Request(ctx, subjectKeys, []byte("{}"), glanceWithin)
	if err != nil {
		a.Log.WarnContext(ctx, "no worker tells of keys", "error", err)
		return nil, "no worker answered within " + glanceWithin.String()
	}
	document, err := problem.ReadAnswer(raw)
	var told struct {
		Merchants []keyStatus `json:"merchants"`
	}
	if err == nil {
		err = json.Unmarshal(document, &told)
	}
	if err != nil {
		a.Log.WarnContext(ctx, "a worker's answer about keys cannot be read", "error", err)
		return nil, "a worker's answer could not be read: it may be of another version"
	}
	slices.SortFunc(told.Merchants, func(a, b keyStatus) int { return cmp.Compare(a.MchID, b.MchID) })
	return told.Merchants, ""
}
