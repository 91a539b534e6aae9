package simulator

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// ParseFault reads the command line's form: kind[=probability|=xN][~delay][@order],
// such as notice_drop=0.1, query_notpay=x3~2s or api_error_after_effect@T20260301.
func ParseFault(text string) (Fault, error) {
	rest, order, named := strings.Cut(text, "@")
	if named && order == "" {
		return Fault{}, fmt.Errorf("fault %q: the order after @ is missing", text)
	}
	rest, delay, delayed := strings.Cut(rest, "~")
	kind, often, limited := strings.Cut(rest, "=")
	f := Fault{Kind: FaultKind(kind), OutTradeNo: order}
	var err1, err2 error
	if delayed {
		f.DelayMs, err1 = parseDelay(delay)
	}
	if limited {
		f.Probability, f.Count, err2 = parseOften(often)
	}
	if err := errors.Join(err1, err2, f.check()); err != nil {
		return Fault{}, fmt.Errorf("fault %q: %w", text, err)
	}
	return f, nil
}

func parseDelay(text string) (int64, error) {
	delay, err := time.ParseDuration(text)
	if err != nil || delay < time.Millisecond {
		return 0, errors.New("the delay after ~ must be a duration such as 500ms or 2s")
	}
	return delay.Milliseconds(), nil
}

func parseOften(text string) (probability float64, count int, err error) {
	if times, counted := strings.CutPrefix(text, "x"); counted {
		if count, err = strconv.Atoi(times); err != nil || count < 1 {
			return 0, 0, errors.New("the count after =x must be a whole number from 1")
		}
		return 0, count, nil
	}
	probability, err = strconv.ParseFloat(text, 64)
	if err != nil || !(probability > 0 && probability <= 1) {
		return 0, 0, errors.New("what follows = must be a probability above 0 and up to 1, or a count such as x3")
	}
	return probability, 0, nil
}

// faultDocument is what GET /control/faults answers.
type faultDocument struct {
	Seed   uint64      `json:"seed"`
	Faults []Fault     `json:"faults"`
	Kinds  []FaultInfo `json:"kinds"`
}

func (s *Simulator) controlFaults(w http.ResponseWriter, _ *http.Request) {
	writeJSON(w, http.StatusOK, faultDocument{s.faults.seed, s.Faults(), FaultKinds()})
}

// controlSetFault adds a fault; those that are on stay on.
func (s *Simulator) controlSetFault(w http.ResponseWriter, r *http.Request) {
	var fault Fault
	decoder := json.NewDecoder(http.MaxBytesReader(w, r.Body, maxRequestBytes))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&fault); err != nil {
		writeControlError(w, http.StatusBadRequest, err, nil)
		return
	}
	fault, err := s.SetFault(fault)
	if err != nil {
		writeControlError(w, http.StatusBadRequest, err, nil)
		return
	}
	writeJSON(w, http.StatusCreated, fault)
}

// controlClearFaults takes ?kind= and ?out_trade_no=, which narrow it down; with
// neither, every fault goes.
func (s *Simulator) controlClearFaults(w http.ResponseWriter, r *http.Request) {
	query := r.URL.Query()
	kind, number := FaultKind(query.Get("kind")), query.Get("out_trade_no")
	cleared := s.faults.clear(func(f Fault) bool {
		return (kind == "" || f.Kind == kind) && (number == "" || f.OutTradeNo == number)
	})
	writeJSON(w, http.StatusOK, map[string]int{"cleared": cleared})
}

func (s *Simulator) controlClearFault(w http.ResponseWriter, r *http.Request) {
	id := pathParam(r, "id")
	if s.faults.clear(func(f Fault) bool { return f.ID == id }) == 0 {
		writeControlError(w, http.StatusNotFound, fmt.Errorf("no fault has the id %q", id), nil)
		return
	}
	writeJSON(w, http.StatusOK, map[string]int{"cleared": 1})
}
