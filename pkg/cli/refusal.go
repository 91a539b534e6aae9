package cli

import (
	"encoding/json"
	"net/http"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/fenflow/fenflow/pkg/operatorapi"
	"github.com/fenflow/fenflow/pkg/problem"
)

// refusal is a problem that the operators' API answered with.
type refusal struct {
	problem    *problem.Error
	commands   []problem.Field // that would work instead, for people
	document   json.RawMessage // as it came
	retryAfter time.Duration
}

func (r *refusal) Error() string { return r.problem.Error() }

// Unwrap lets the kind be found.
func (r *refusal) Unwrap() error { return r.problem }

// nothingThere is what every API of ours says of a path that it does not have.
const nothingThere = "there is nothing at this address"

// refused turns the API's problem into ours: the same code, and a next step
// for somebody at a command line.
func (r remote) refused(resp *http.Response, body json.RawMessage) error {
	var p operatorapi.Problem
	if err := json.Unmarshal(body, &p); err != nil || p.Code == "" {
		return r.stranger(resp)
	}
	e := &problem.Error{Detail: plain(value(p.Detail)), NextStep: plain(p.NextStep)}
	if known, ok := problem.ByCode(p.Code); ok {
		e.Kind = known.Kind
	} else { // a newer console
		e.Kind, e.Detail = kindOfStatus(resp.StatusCode), plain(p.Code+" "+p.Title+": "+value(p.Detail))
	}
	for _, f := range value(p.Errors) {
		e.Fields = append(e.Fields, problem.Field{Field: plain(f.Field), Message: plain(f.Message)})
	}
	refused := &refusal{problem: e, document: body}
	for _, o := range value(p.Candidates) {
		show := "fenflow order show " + quoted(o.OutTradeNo)
		if o.OutRefundNo != nil {
			show = "fenflow refund show " + quoted(*o.OutRefundNo)
		}
		refused.commands = append(refused.commands, problem.Field{Message: plain(show + " --mchid " + quoted(o.Mchid) + "  # the number is its " + string(o.FoundBy))})
	}
	if better := nextStep(e.Kind); better != "" {
		e.NextStep = better
	}
	if e.Kind == problem.NotFound && e.Detail == nothingThere {
		e.Detail = r.url + " has no such address: it is another API than the operators', or an older console"
		e.NextStep = howToFindConsole
	}
	seconds, _ := strconv.Atoi(resp.Header.Get("Retry-After"))
	if e.Kind == problem.TooManyRequests && seconds > 0 {
		e.NextStep = "Run the command again in " + strconv.Itoa(seconds) + " s. " + e.NextStep
	}
	refused.retryAfter = time.Duration(seconds) * time.Second
	return refused
}

// text tells the refusal to people, with the commands.
func (r *refusal) text() string {
	told := *r.problem
	if len(r.commands) > 0 {
		told.Fields, told.NextStep = slices.Concat(told.Fields, r.commands), "Run one of these commands."
	}
	return problem.Text(&told)
}

var wordShape = regexp.MustCompile(`^[0-9A-Za-z_.:-]+$`)

// quoted is a word as a shell takes it; out_trade_no may hold | and *.
func quoted(word string) string {
	if wordShape.MatchString(word) {
		return word
	}
	return "'" + strings.ReplaceAll(word, "'", `'\''`) + "'"
}

// nextStep is the API's, said to somebody who has flags and not fields.
func nextStep(kind problem.Kind) string {
	return map[problem.Kind]string{
		problem.TokenRejected: howToGetToken + " `fenflow token ls` lists those there are.",
		problem.Invalid:       "Correct the flags or arguments of these names, and run the command again.",

		problem.BrokerUnavailable: "Check NATS and its stream limits; then run the command again.",

		problem.OrderPaid:         "A paid order cannot be closed. Deliver it, or give the money back with `fenflow refund create`.",
		problem.NotPaid:           "Ask WeChat Pay with `fenflow order check`. Money that is held for an operator is named by its payment: --transaction.",
		problem.RefundNumberTaken: "Look at it with `fenflow refund show`. To repeat a refund, repeat the same command with the same flags; only a refund that was never asked for gets a new number, because every number pays once.",
		problem.RefundExceeds:     "The message says how much is left; `fenflow order show` lists the refunds that took the rest. Nothing was recorded under this number.",
		problem.NotAbnormal:       "Look at it with `fenflow refund show`: only an abnormal refund is driven on; all others go on or end by themselves.",
		problem.DriveUnderWay:     "The earlier request stands and is carried out by itself. Look at it with `fenflow refund show`; ask again only if it is still abnormal and its failure says why WeChat Pay refused.",
	}[kind]
}

// kindOfStatus judges a code that this program does not know.
func kindOfStatus(status int) problem.Kind {
	switch {
	case status == http.StatusUnauthorized:
		return problem.TokenRejected
	case status == http.StatusForbidden:
		return problem.Forbidden
	case status == http.StatusNotFound:
		return problem.NotFound
	case status == http.StatusTooManyRequests:
		return problem.TooManyRequests
	case status >= http.StatusInternalServerError:
		return problem.Unhealthy
	}
	return problem.Refused
}

// value is what an optional field holds; nothing, where it is absent.
func value[T any](optional *T) T {
	if optional == nil {
		return *new(T)
	}
	return *optional
}
