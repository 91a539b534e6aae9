package simulator

import (
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
)

// faultGroup is a group of kinds under its heading.
type faultGroup struct {
	Name  string
	Kinds []FaultInfo
}

// faultGroups keeps the order of FaultKinds.
func faultGroups(wanted func(FaultInfo) bool) []faultGroup {
	var groups []faultGroup
	for _, info := range FaultKinds() {
		if !wanted(info) {
			continue
		}
		if len(groups) == 0 || groups[len(groups)-1].Name != info.Group {
			groups = append(groups, faultGroup{Name: info.Group})
		}
		last := &groups[len(groups)-1]
		last.Kinds = append(last.Kinds, info)
	}
	return groups
}

// activeFaults are those that can still happen: all, or what can happen to an order.
func (s *Simulator) activeFaults(outTradeNo string) []Fault {
	return slices.DeleteFunc(s.Faults(), func(f Fault) bool {
		return f.usedUp() || outTradeNo != "" && f.OutTradeNo != "" && f.OutTradeNo != outTradeNo
	})
}

func (s *Simulator) pageFaults(w http.ResponseWriter, _ *http.Request) {
	s.showFaults(w, http.StatusOK, "")
}

func (s *Simulator) showFaults(w http.ResponseWriter, status int, problem string) {
	s.render(w, status, "faults.html", view{Title: "Faults", Here: "faults", Problem: problem, Page: map[string]any{
		"Faults": s.Faults(), "Seed": s.faults.seed, "APIs": apis(),
		"Groups": faultGroups(func(FaultInfo) bool { return true })}})
}

// pageSetFault does what POST /control/faults does, by a form.
func (s *Simulator) pageSetFault(w http.ResponseWriter, r *http.Request) {
	r.Body = http.MaxBytesReader(w, r.Body, maxRequestBytes)
	err := r.ParseForm()
	var fault Fault
	if err == nil {
		if fault, err = faultOfForm(r.PostForm); err == nil {
			_, err = s.SetFault(fault)
		}
	}
	if err == nil {
		http.Redirect(w, r, wayBack(r.PostForm), http.StatusSeeOther)
		return
	}
	if number := r.PostForm.Get("order_page"); number != "" {
		s.showOrder(w, number, "", http.StatusBadRequest, err.Error())
		return
	}
	s.showFaults(w, http.StatusBadRequest, err.Error())
}

// pageClearFaults switches one fault off, or all of them.
func (s *Simulator) pageClearFaults(w http.ResponseWriter, r *http.Request) {
	r.Body = http.MaxBytesReader(w, r.Body, maxRequestBytes)
	if err := r.ParseForm(); err != nil {
		s.showFaults(w, http.StatusBadRequest, err.Error())
		return
	}
	id := r.PostForm.Get("id")
	s.faults.clear(func(f Fault) bool { return id == "" || f.ID == id })
	http.Redirect(w, r, wayBack(r.PostForm), http.StatusSeeOther)
}

// wayBack leads to the order whose page the form was on, else to the faults.
func wayBack(form url.Values) string {
	if number := form.Get("order_page"); number != "" {
		return orderPath(number)
	}
	return "/faults"
}

// faultOfForm takes an empty field for one that was not given.
func faultOfForm(form url.Values) (Fault, error) {
	f := Fault{Kind: FaultKind(form.Get("kind")), OutTradeNo: form.Get("out_trade_no"), API: form.Get("api")}
	count, errCount := wholeField(form, "count")
	delay, errDelay := wholeField(form, "delay_ms")
	f.Count, f.DelayMs = int(count), delay
	var errProbability error
	if text := form.Get("probability"); text != "" {
		if f.Probability, errProbability = strconv.ParseFloat(text, 64); errProbability != nil {
			errProbability = fmt.Errorf("probability must be a number, not %q", text)
		}
	}
	return f, errors.Join(errCount, errDelay, errProbability)
}

func wholeField(form url.Values, name string) (int64, error) {
	text := form.Get(name)
	if text == "" {
		return 0, nil
	}
	n, err := strconv.ParseInt(text, 10, 32)
	if err != nil {
		return 0, fmt.Errorf("%s must be a whole number, not %q", name, text)
	}
	return n, nil
}
