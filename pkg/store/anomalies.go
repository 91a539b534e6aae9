package store

import (
	"context"
	"database/sql"
	_ "embed"
	"slices"
	"time"

	"github.com/jmoiron/sqlx"

	"github.com/fenflow/fenflow/pkg/pay"
)

var (
	//go:embed queries/read_anomalies.sql
	readAnomaliesSQL string
	//go:embed queries/decide_anomalies.sql
	decideAnomaliesSQL string
	//go:embed queries/list_anomalies.sql
	listAnomaliesSQL string
	//go:embed queries/find_anomalies.sql
	findAnomaliesSQL string
)

// ListAnomalies reads a page of anomalies of one state, the oldest first.
// Without a state these are the open ones.
func (s *Store) ListAnomalies(ctx context.Context, f pay.AnomalyFilter) ([]pay.Anomaly, error) {
	state := f.State
	if state == "" {
		state = pay.AnomalyOpen
	}
	return s.anomalies(ctx, "list anomalies", listAnomaliesSQL, string(state), string(f.MchID), string(f.Kind), orEdge(f.Since, always),
		orEdge(f.After.ObservedAt, always), string(f.After.MchID), string(f.After.TransactionID), string(f.After.Kind), string(f.After.OutRefundNo), page(f.Limit))
}

// FindAnomalies reads the anomalies of a payment; mchid may be empty.
func (s *Store) FindAnomalies(ctx context.Context, id pay.TransactionID, mchid pay.MchID) ([]pay.Anomaly, error) {
	if legible(string(id)) != string(id) || legible(string(mchid)) != string(mchid) {
		return nil, nil // no column holds such a text
	}
	return s.anomalies(ctx, "find anomalies", findAnomaliesSQL, string(id), string(mchid), maxPage)
}

func (s *Store) anomalies(ctx context.Context, step, query string, args ...any) ([]pay.Anomaly, error) {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	var rows []anomalyRow
	if err := s.db.SelectContext(ctx, &rows, query, args...); err != nil {
		return nil, failed(ctx, step, err)
	}
	found := make([]pay.Anomaly, len(rows))
	for i := range rows {
		found[i] = rows[i].anomaly()
	}
	return found, nil
}

// openAnomalies reads what was odd about the money of orders that are decided
// about, or whose refunds may end.
func (b *batch) openAnomalies(ctx context.Context, tx *sqlx.Tx) error {
	mchids, numbers := b.sortedKeys((*openBook).wantsAnomalies)
	if len(mchids) == 0 {
		return nil
	}
	var rows []anomalyRow
	if err := tx.SelectContext(ctx, &rows, readAnomaliesSQL, mchids, numbers); err != nil {
		return failed(ctx, "read anomalies", err)
	}
	for i := range rows {
		a := rows[i].anomaly()
		book := b.books[orderKey{a.MchID, a.OutTradeNo}]
		book.Anomalies = append(book.Anomalies, &a)
	}
	return nil
}

// decided takes note of anomalies that a change moved, and of whose word that was.
func (b *batch) decided(obs *pay.Observation, change pay.Change) {
	for _, a := range change.Decided {
		if !slices.Contains(b.moved, a) {
			b.moved = append(b.moved, a)
		}
		if obs.Kind == pay.ObservedDecision {
			b.words.add(obs, change.NewRefund)
		}
	}
}

// writeDecisions writes where the batch left the anomalies that it moved.
func (b *batch) writeDecisions(ctx context.Context, tx *sqlx.Tx) error {
	if len(b.moved) == 0 {
		return nil
	}
	var rows endColumns
	for _, a := range b.moved {
		rows.add(a)
	}
	var got struct {
		Decided int `db:"decided"`
		Audits  int `db:"audits"`
	}
	if err := tx.GetContext(ctx, &got, decideAnomaliesSQL, append(rows.args(), b.words.args()...)...); err != nil {
		return failed(ctx, "decide anomalies", err)
	}
	if got.Decided != len(rows.mchid) || got.Audits != len(b.words.mchid) {
		return brokenf("decide anomalies", "the guards let %d rows and %d audits through of %d and %d", got.Decided, got.Audits, len(rows.mchid), len(b.words.mchid))
	}
	return nil
}

// anomalyRow is an anomaly as its table holds it.
type anomalyRow struct {
	MchID          string       `db:"mchid"`
	TransactionID  string       `db:"transaction_id"`
	Kind           string       `db:"kind"`
	OutRefundNo    string       `db:"out_refund_no"`
	OutTradeNo     string       `db:"out_trade_no"`
	Policy         string       `db:"policy"`
	State          string       `db:"state"`
	ExpectedFen    int64        `db:"expected_fen"`
	ActualFen      int64        `db:"actual_fen"`
	ObservedAt     time.Time    `db:"observed_at"`
	Decision       string       `db:"decision"`
	DecidedBy      string       `db:"decided_by"`
	DecisionReason string       `db:"decision_reason"`
	DecidedAt      sql.NullTime `db:"decided_at"`
}

func (r *anomalyRow) anomaly() pay.Anomaly {
	return pay.Anomaly{
		Kind: pay.AnomalyKind(r.Kind), MchID: pay.MchID(r.MchID), OutTradeNo: pay.OutTradeNo(r.OutTradeNo),
		TransactionID: pay.TransactionID(r.TransactionID), OutRefundNo: pay.OutRefundNo(r.OutRefundNo),
		Policy: pay.Policy(r.Policy), State: pay.AnomalyState(r.State),
		ExpectedFen: pay.Fen(r.ExpectedFen), ActualFen: pay.Fen(r.ActualFen), ObservedAt: instant(r.ObservedAt),
		Decision: pay.Decision(r.Decision), DecidedBy: r.DecidedBy, DecisionReason: r.DecisionReason, DecidedAt: instant(r.DecidedAt.Time),
	}
}

// endColumns are anomalies that a batch moved, with where it left them.
type endColumns struct {
	mchid, transactionID, kind, outRefundNo, state, decision, decidedBy, reason texts
	decidedAt                                                                   instants
}

func (c *endColumns) add(a *pay.Anomaly) {
	c.mchid = append(c.mchid, string(a.MchID))
	c.transactionID = append(c.transactionID, string(a.TransactionID))
	c.kind = append(c.kind, string(a.Kind))
	c.outRefundNo = append(c.outRefundNo, string(a.OutRefundNo))
	c.state = append(c.state, string(a.State))
	c.decision = append(c.decision, string(a.Decision))
	c.decidedBy = append(c.decidedBy, a.DecidedBy)
	c.reason = append(c.reason, a.DecisionReason)
	c.decidedAt = append(c.decidedAt, a.DecidedAt)
}

func (c *endColumns) args() []any {
	return []any{c.mchid, c.transactionID, c.kind, c.outRefundNo, c.state, c.decision, c.decidedBy, c.reason, c.decidedAt}
}

// wordColumns are the decisions of operators in a batch, for the audit.
type wordColumns struct {
	mchid, outTradeNo, actor, decision, reason, kind, transactionID, outRefundNo texts
}

// add takes the refund that the decision made; nil: none.
func (c *wordColumns) add(obs *pay.Observation, refund *pay.Refund) {
	no := obs.OutRefundNo
	if refund != nil {
		no = refund.OutRefundNo
	}
	c.mchid = append(c.mchid, string(obs.MchID))
	c.outTradeNo = append(c.outTradeNo, string(obs.OutTradeNo))
	c.actor = append(c.actor, obs.Actor)
	c.decision = append(c.decision, string(obs.Decision))
	c.reason = append(c.reason, obs.Reason)
	c.kind = append(c.kind, string(obs.AnomalyKind))
	c.transactionID = append(c.transactionID, string(obs.TransactionID))
	c.outRefundNo = append(c.outRefundNo, string(no))
}

func (c *wordColumns) args() []any {
	return []any{c.mchid, c.outTradeNo, c.actor, c.decision, c.reason, c.kind, c.transactionID, c.outRefundNo}
}
