package operator

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"strings"

	"github.com/go-chi/chi/v5"

	"github.com/fenflow/fenflow/pkg/pay"
	"github.com/fenflow/fenflow/pkg/problem"
)

// Stories tells everything about one order.
type Stories interface {
	FindOrders(ctx context.Context, number string, mchid pay.MchID) ([]pay.Match, error)
	FindLetters(ctx context.Context, number string, mchid pay.MchID) ([]pay.DeliveryID, error)
	Story(ctx context.Context, mchid pay.MchID, no pay.OutTradeNo) (pay.Story, bool, error)
	Timeline(ctx context.Context, mchid pay.MchID, no pay.OutTradeNo) ([]pay.Moment, error)
}

// maxNumber is longer than every number of WeChat Pay's or ours.
const maxNumber = 128

func (a *API) story(w http.ResponseWriter, c *call) error {
	number, mchid := pathValue(c.Request, "number"), c.query.mchid()
	if !isNumber(number) {
		c.query.bad("number", "must be 1 to %d visible ASCII characters", maxNumber)
	}
	if err := c.query.done(); err != nil {
		return err
	}
	note(w, slog.String("number", number))
	matches, err := a.Books.FindOrders(c.Context(), number, mchid)
	if err != nil {
		return fmt.Errorf("find orders: %w", err)
	}
	if len(matches) == 0 {
		return a.unexplained(c, number, mchid)
	}
	match, err := choose(matches, number, mchid)
	if err != nil {
		return err
	}
	note(w, slog.String("mchid", string(match.MchID)), slog.String("out_trade_no", string(match.OutTradeNo)))
	story, there, err := a.Books.Story(c.Context(), match.MchID, match.OutTradeNo)
	switch {
	case err != nil:
		return fmt.Errorf("read story: %w", err)
	case !there:
		return problem.New(problem.UnknownNumber, "the order was there a moment ago, and is not now")
	}
	timeline, err := a.Books.Timeline(c.Context(), match.MchID, match.OutTradeNo)
	if err != nil {
		return fmt.Errorf("read timeline: %w", err)
	}
	document := storyOf(match.FoundBy, story, timeline)
	if err := a.toldIn(c.Context(), w, match.MchID, &document); err != nil {
		return err
	}
	return answer(w, document)
}

// unexplained is a number that no order has. Money may have come under it all
// the same: then it waits as a dead letter.
func (a *API) unexplained(c *call, number string, mchid pay.MchID) error {
	letters, err := a.Books.FindLetters(c.Context(), number, mchid)
	if err != nil {
		return fmt.Errorf("find letters: %w", err)
	}
	if len(letters) == 0 {
		return problem.New(problem.UnknownNumber, "")
	}
	e := problem.Newf(problem.UnknownNumber, "no order has it, and %d dead letters name it, the latest %s", len(letters), letters[0])
	if len(letters) == 1 {
		e = problem.Newf(problem.UnknownNumber, "no order has it, and dead letter %s names it", letters[0])
	}
	e.NextStep = fmt.Sprintf("Run `fenflow dead-letter show %s`: it says what is missing and what came.", letters[0])
	return e
}

type candidate struct {
	MchID       string `json:"mchid"`
	OutTradeNo  string `json:"out_trade_no"`
	OutRefundNo string `json:"out_refund_no,omitempty"`
	FoundBy     string `json:"found_by"`
}

// ambiguousError is a number that means several orders or refunds.
type ambiguousError struct {
	problem    *problem.Error
	candidates []candidate
}

func (e *ambiguousError) Error() string { return e.problem.Error() }

// Unwrap gives the problem that it is.
func (e *ambiguousError) Unwrap() error { return e.problem }

func severalOrders(orders []pay.Match) error {
	return &ambiguousError{problem.Newf(problem.AmbiguousNumber, "%d orders have it", len(orders)), each(orders, func(m pay.Match) candidate {
		return candidate{MchID: string(m.MchID), OutTradeNo: string(m.OutTradeNo), FoundBy: m.FoundBy}
	})}
}

// choose picks the one order that a number means. Within a merchant, the order
// of that out_trade_no comes first, so that each order can be named somehow.
func choose(matches []pay.Match, number string, mchid pay.MchID) (pay.Match, error) {
	type order struct {
		mchid pay.MchID
		no    pay.OutTradeNo
	}
	seen := map[order]bool{}
	var orders []pay.Match
	for _, m := range matches {
		if mchid != "" && m.MchID == mchid && string(m.OutTradeNo) == number {
			return m, nil
		}
		if o := (order{m.MchID, m.OutTradeNo}); !seen[o] {
			seen[o] = true
			orders = append(orders, m)
		}
	}
	switch len(orders) {
	case 0:
		return pay.Match{}, problem.New(problem.UnknownNumber, "")
	case 1:
		return orders[0], nil
	}
	return pay.Match{}, severalOrders(orders)
}

func isNumber(s string) bool {
	return s != "" && len(s) <= maxNumber && !strings.ContainsFunc(s, func(r rune) bool { return r <= ' ' || r > '~' })
}

// pathValue is a parameter of the path, decoded once: numbers may hold "|", "*"
// and "@", which clients may or may not escape.
func pathValue(r *http.Request, name string) string {
	raw := chi.URLParam(r, name)
	if r.URL.RawPath == "" {
		return raw
	}
	decoded, err := url.PathUnescape(raw)
	if err != nil {
		return ""
	}
	return decoded
}
