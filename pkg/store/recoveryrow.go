package store

import (
	"database/sql"
	"encoding/json"
	"fmt"
	"time"

	"github.com/fenflow/fenflow/pkg/pay"
)

type recoveryRow struct {
	RecoveryID string       `db:"recovery_id"`
	Since      time.Time    `db:"since"`
	Actor      string       `db:"actor"`
	Reason     string       `db:"reason"`
	State      string       `db:"state"`
	Phase      string       `db:"phase"`
	Needed     bool         `db:"needed"`
	Stretches  []byte       `db:"stretches"`
	Counts     []byte       `db:"counts"`
	Problems   []byte       `db:"problems"`
	Tries      int          `db:"tries"`
	Lease      string       `db:"lease"`
	StartedAt  time.Time    `db:"started_at"`
	FinishedAt sql.NullTime `db:"finished_at"`
}

func (r *recoveryRow) recovery() (pay.Recovery, error) {
	one := pay.Recovery{
		ID: r.RecoveryID, Since: instant(r.Since), Actor: r.Actor, Reason: r.Reason, Phase: pay.RecoveryPhase(r.Phase), Needed: r.Needed,
		Superseded: r.State == "superseded", Tries: r.Tries, Lease: r.Lease, StartedAt: instant(r.StartedAt), FinishedAt: instant(r.FinishedAt.Time),
	}
	var (
		stretches stretchesWire
		counts    recoveryCountsWire
		problems  []recoveryProblemWire
	)
	for _, part := range []struct {
		raw  []byte
		into any
	}{{r.Stretches, &stretches}, {r.Counts, &counts}, {r.Problems, &problems}} {
		if err := json.Unmarshal(part.raw, part.into); err != nil {
			return pay.Recovery{}, fmt.Errorf("read recovery %s: %w", r.RecoveryID, err)
		}
	}
	one.Stretches, one.Counts = stretches.stretches(), pay.RecoveryCounts(counts)
	for _, p := range problems {
		one.Problems = append(one.Problems, pay.RecoveryProblem(p))
	}
	return one, nil
}

type stretchWire struct {
	First uint64 `json:"first"`
	Next  uint64 `json:"next"`
	Until uint64 `json:"until"`
}

type stretchesWire struct {
	Events        stretchWire `json:"events"`
	Notifications stretchWire `json:"notifications"`
	Commands      stretchWire `json:"commands"`
	Orders        stretchWire `json:"orders"`
}

func wireStretches(s pay.RecoveryStretches) stretchesWire {
	return stretchesWire{
		Events: stretchWire(s.Events), Notifications: stretchWire(s.Notifications),
		Commands: stretchWire(s.Commands), Orders: stretchWire(s.Orders),
	}
}

func (w stretchesWire) stretches() pay.RecoveryStretches {
	return pay.RecoveryStretches{
		Events: pay.Stretch(w.Events), Notifications: pay.Stretch(w.Notifications),
		Commands: pay.Stretch(w.Commands), Orders: pay.Stretch(w.Orders),
	}
}

type recoveryCountsWire struct {
	Events        int `json:"events"`
	Notifications int `json:"notifications"`
	Orders        int `json:"orders"`
	Commands      int `json:"commands"`
	CommandsKnown int `json:"commands_known"`
	CommandsLeft  int `json:"commands_left"`
	Asked         int `json:"asked"`
	Told          int `json:"told"`
	Problems      int `json:"problems"`
}

type recoveryProblemWire struct {
	MchID       pay.MchID       `json:"mchid,omitempty"`
	OutTradeNo  pay.OutTradeNo  `json:"out_trade_no,omitempty"`
	OutRefundNo pay.OutRefundNo `json:"out_refund_no,omitempty"`
	CommandID   pay.CommandID   `json:"command_id,omitempty"`
	Detail      string          `json:"detail"`
}

func wireProblems(all []pay.RecoveryProblem) []recoveryProblemWire {
	wire := make([]recoveryProblemWire, len(all))
	for i, p := range all {
		wire[i] = recoveryProblemWire(p)
	}
	return wire
}
