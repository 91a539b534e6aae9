package simulator

import (
	"cmp"
	"log/slog"
	"slices"
	"time"
)

// Attempt is one notification sent and what came back. Status 0 means no answer.
type Attempt struct {
	exchanged

	NoticeID     string     `json:"notice_id"`
	OutTradeNo   string     `json:"out_trade_no"`
	OutRefundNo  string     `json:"out_refund_no,omitempty"` // of notices about a refund
	Protocol     Protocol   `json:"protocol"`
	Kind         NoticeKind `json:"kind"`
	Forgery      Forgery    `json:"forgery,omitempty"`
	Fault        FaultKind  `json:"fault,omitempty"` // what spoilt it or took it away
	Serial       string     `json:"serial,omitempty"`
	Status       int        `json:"status"`
	Acknowledged bool       `json:"acknowledged"`
	Error        string     `json:"error,omitempty"`
	SentAt       time.Time  `json:"sent_at"`
	AnswerMs     float64    `json:"answer_ms"`
}

// attempt begins the record of sending a notice once.
func (n Notice) attempt(kind NoticeKind) Attempt {
	return Attempt{NoticeID: n.ID, OutTradeNo: n.OutTradeNo, OutRefundNo: n.OutRefundNo, Protocol: n.Protocol, Kind: kind, Forgery: n.Forgery}
}

// accepted says whether the receiver answered 2xx, which no forgery may get.
func (a Attempt) accepted() bool { return a.Status >= 200 && a.Status < 300 }

// level: what went as it should is for those who look closely.
func (a Attempt) level() slog.Level {
	if (a.Kind == Forged) == a.accepted() {
		return slog.LevelWarn
	}
	return slog.LevelDebug
}

// Summary counts all attempts at once.
type Summary struct {
	// Pending notices have attempts, repeats included, still before them.
	Pending   int `json:"pending"`
	Abandoned int `json:"abandoned"`
	// Acknowledged counts genuine notices, Duplicates deliveries of those afterwards.
	Acknowledged int `json:"acknowledged"`
	Duplicates   int `json:"duplicates"`
	Forged       int `json:"forged"`
	// ForgedAccepted counts forgeries that were answered 2xx.
	ForgedAccepted int     `json:"forged_accepted"`
	Counts         []Count `json:"counts"`
	// AckMs has the time from sending to answer of each acknowledged genuine or
	// duplicate delivery.
	AckMs []float64 `json:"ack_ms"`
}

// Count is how often one kind met one answer.
type Count struct {
	Protocol Protocol   `json:"protocol"`
	Kind     NoticeKind `json:"kind"`
	Forgery  Forgery    `json:"forgery,omitempty"`
	Status   int        `json:"status"`
	Count    int        `json:"count"`
}

func (b *books) attempted(a Attempt) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.record(entry{Attempt: &a})
}

func (b *books) abandon(noticeID string) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.record(entry{Abandoned: noticeID})
}

func (b *books) applyAttempt(a Attempt) error {
	notice, known := b.notices[a.NoticeID]
	if !known {
		return errUnknownNotice
	}
	if a.Kind == Duplicate {
		notice.repeats++
	} else {
		notice.tries++
		notice.acknowledged = a.Acknowledged
	}
	b.attempts = append(b.attempts, a)
	return nil
}

func (n noticeState) pending() bool {
	switch {
	case n.abandoned:
		return false
	case n.Kind == Forged:
		return n.tries == 0
	}
	return !n.acknowledged || n.repeats < n.Duplicates
}

func (b *books) pending() []noticeState {
	b.mu.Lock()
	defer b.mu.Unlock()
	var states []noticeState
	for _, id := range b.posted {
		if n := b.notices[id]; n.pending() {
			states = append(states, *n)
		}
	}
	return states
}

// deliveries are the attempts of one order, or all of them.
func (b *books) deliveries(outTradeNo string) []Attempt {
	b.mu.Lock()
	defer b.mu.Unlock()
	found := []Attempt{}
	for _, a := range b.attempts {
		if outTradeNo == "" || a.OutTradeNo == outTradeNo {
			found = append(found, a)
		}
	}
	return found
}

func (b *books) summary() Summary {
	b.mu.Lock()
	defer b.mu.Unlock()
	s := Summary{Counts: []Count{}, AckMs: []float64{}}
	counts := map[Count]int{}
	for _, a := range b.attempts {
		counts[Count{Protocol: a.Protocol, Kind: a.Kind, Forgery: a.Forgery, Status: a.Status}]++
		s.add(a)
	}
	for _, n := range b.notices {
		if n.pending() {
			s.Pending++
		}
		if n.abandoned {
			s.Abandoned++
		}
	}
	for c, n := range counts {
		c.Count = n
		s.Counts = append(s.Counts, c)
	}
	slices.SortFunc(s.Counts, func(x, y Count) int {
		return cmp.Or(cmp.Compare(x.Kind, y.Kind), cmp.Compare(x.Protocol, y.Protocol),
			cmp.Compare(x.Forgery, y.Forgery), cmp.Compare(x.Status, y.Status))
	})
	return s
}

func (s *Summary) add(a Attempt) {
	if a.Kind == Forged {
		s.Forged++
		if a.accepted() {
			s.ForgedAccepted++
		}
		return
	}
	if a.Kind == Duplicate {
		s.Duplicates++
	} else if a.Acknowledged {
		s.Acknowledged++
	}
	if a.Acknowledged {
		s.AckMs = append(s.AckMs, a.AnswerMs)
	}
}

// enterNotices puts notices in the books that no payment or refund stands behind.
func (b *books) enterNotices(notices []Notice) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	var entries []entry
	for i := range notices {
		entries = append(entries, entry{Notice: &notices[i]})
	}
	return b.record(entries...)
}
