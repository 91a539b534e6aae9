package store

import (
	"cmp"
	"context"
	"database/sql"
	_ "embed"
	"errors"
	"time"

	"github.com/fenflow/fenflow/pkg/pay"
)

var (
	//go:embed queries/read_refund.sql
	readRefundSQL string
	//go:embed queries/wish_abnormal.sql
	wishAbnormalSQL string
)

// Refund reads one refund.
func (s *Store) Refund(ctx context.Context, mchid pay.MchID, no pay.OutRefundNo) (pay.Refund, bool, error) {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	var row refundRow
	err := s.db.GetContext(ctx, &row, readRefundSQL, string(mchid), string(no))
	if errors.Is(err, sql.ErrNoRows) {
		return pay.Refund{}, false, nil
	}
	if err != nil {
		return pay.Refund{}, false, failed(ctx, "read refund", err)
	}
	return row.refund(), true, nil
}

// WishAbnormal keeps an operator's wish to drive an abnormal refund on, its
// secrets encrypted to WeChat Pay in body, and makes it due. It says false, and
// writes nothing, where the refund is not abnormal, or another wish is under
// way for it. The audit names the actor, and why where they said so.
//
// The wish outranks a question that is under way: it ends the lease, so that
// the question's plan cannot put another call in its place. CheckCount is 1 from
// then on: WeChat Pay is asked where the refund is before each call, since the
// one before may have been made by somebody who died of it.
func (s *Store) WishAbnormal(ctx context.Context, mchid pay.MchID, no pay.OutRefundNo, body []byte, keyID, actor, why string) (bool, error) {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	var wished int
	err := s.db.GetContext(ctx, &wished, wishAbnormalSQL, string(mchid), string(no), present(body), keyID, actor, legible(why))
	return wished == 1, failed(ctx, "keep the wish", err)
}

// refundKey is what a refund is found and locked by.
type refundKey struct {
	mchid       pay.MchID
	outRefundNo pay.OutRefundNo
}

func (k refundKey) compare(other refundKey) int {
	return cmp.Or(cmp.Compare(k.mchid, other.mchid), cmp.Compare(k.outRefundNo, other.outRefundNo))
}

// refundRow is a refund as its table holds it.
type refundRow struct {
	MchID           string       `db:"mchid"`
	OutRefundNo     string       `db:"out_refund_no"`
	OutTradeNo      string       `db:"out_trade_no"`
	TransactionID   string       `db:"transaction_id"`
	RefundID        string       `db:"refund_id"`
	AmountFen       int64        `db:"amount_fen"`
	Currency        string       `db:"currency"`
	Reason          string       `db:"reason"`
	Funds           string       `db:"funds"`
	Origin          string       `db:"origin"`
	Digest          string       `db:"digest"`
	State           string       `db:"state"`
	Sequence        int64        `db:"sequence"`
	Request         []byte       `db:"request"`
	CreatedAt       time.Time    `db:"created_at"`
	UpdatedAt       time.Time    `db:"updated_at"`
	SucceededAt     sql.NullTime `db:"succeeded_at"`
	ReceivedAccount string       `db:"received_account"`
	FailureCode     string       `db:"failure_code"`
	FailureReason   string       `db:"failure_reason"`
	NextCheckAt     sql.NullTime `db:"next_check_at"`
	CheckAPI        string       `db:"check_api"`
	CheckCount      int          `db:"check_count"`
	AbnormalRounds  int          `db:"abnormal_rounds"`
}

func (r *refundRow) refund() pay.Refund {
	return pay.Refund{
		MchID: pay.MchID(r.MchID), OutRefundNo: pay.OutRefundNo(r.OutRefundNo), OutTradeNo: pay.OutTradeNo(r.OutTradeNo),
		TransactionID: pay.TransactionID(r.TransactionID), RefundID: r.RefundID, Amount: pay.Fen(r.AmountFen), Currency: r.Currency,
		Reason: r.Reason, Funds: r.Funds, Origin: pay.RefundOrigin(r.Origin), Digest: r.Digest,
		State: pay.RefundState(r.State), Sequence: r.Sequence, Request: r.Request,
		CreatedAt: instant(r.CreatedAt), UpdatedAt: instant(r.UpdatedAt), SucceededAt: instant(r.SucceededAt.Time),
		ReceivedAccount: r.ReceivedAccount, FailureCode: r.FailureCode, FailureReason: r.FailureReason,
		NextCheckAt: instant(r.NextCheckAt.Time), CheckAPI: pay.API(r.CheckAPI), CheckCount: r.CheckCount, AbnormalRounds: r.AbnormalRounds,
	}
}

// refundColumns are the refunds that a batch put into the books.
type refundColumns struct {
	mchid, outRefundNo, outTradeNo, transactionID, refundID, currency, reason, funds, origin, digest, state, checkAPI texts
	amount, sequence                                                                                                  integers
	createdAt, updatedAt, nextCheckAt                                                                                 instants
}

// add takes the state in which the refund begins: its steps come after.
func (c *refundColumns) add(r *pay.Refund, begins pay.RefundState) {
	c.mchid = append(c.mchid, string(r.MchID))
	c.outRefundNo = append(c.outRefundNo, string(r.OutRefundNo))
	c.outTradeNo = append(c.outTradeNo, string(r.OutTradeNo))
	c.transactionID = append(c.transactionID, string(r.TransactionID))
	c.refundID = append(c.refundID, r.RefundID)
	c.amount = append(c.amount, int64(r.Amount))
	c.currency = append(c.currency, r.Currency)
	c.reason = append(c.reason, r.Reason)
	c.funds = append(c.funds, r.Funds)
	c.origin = append(c.origin, string(r.Origin))
	c.digest = append(c.digest, r.Digest)
	c.state = append(c.state, string(begins))
	c.sequence = append(c.sequence, r.Sequence)
	c.createdAt = append(c.createdAt, r.CreatedAt)
	c.updatedAt = append(c.updatedAt, r.UpdatedAt)
	c.nextCheckAt = append(c.nextCheckAt, checkWhile(begins, r))
	c.checkAPI = append(c.checkAPI, string(r.CheckAPI))
}

func (c *refundColumns) args() []any {
	return []any{
		c.mchid, c.outRefundNo, c.outTradeNo, c.transactionID, c.refundID, c.amount, c.currency, c.reason, c.funds, c.origin,
		c.digest, c.state, c.sequence, c.createdAt, c.updatedAt, c.nextCheckAt, c.checkAPI,
	}
}

// stepColumns are refunds that take one step: what can change, and the state
// that the row must still have.
type stepColumns struct {
	mchid, outRefundNo, expected, state, refundID, receivedAccount, failureCode, failureReason, checkAPI texts
	sequence, checkCount, abnormalRounds                                                                 integers
	updatedAt, succeededAt, nextCheckAt                                                                  instants
}

func (c *stepColumns) add(r *pay.Refund, from, to pay.RefundState) {
	c.mchid = append(c.mchid, string(r.MchID))
	c.outRefundNo = append(c.outRefundNo, string(r.OutRefundNo))
	c.expected = append(c.expected, string(from))
	c.state = append(c.state, string(to))
	c.refundID = append(c.refundID, r.RefundID)
	c.sequence = append(c.sequence, r.Sequence)
	c.updatedAt = append(c.updatedAt, r.UpdatedAt)
	c.succeededAt = append(c.succeededAt, r.SucceededAt)
	c.receivedAccount = append(c.receivedAccount, r.ReceivedAccount)
	c.failureCode = append(c.failureCode, r.FailureCode)
	c.failureReason = append(c.failureReason, r.FailureReason)
	c.nextCheckAt = append(c.nextCheckAt, checkWhile(to, r))
	c.checkAPI = append(c.checkAPI, string(r.CheckAPI))
	c.checkCount = append(c.checkCount, int64(r.CheckCount))
	c.abnormalRounds = append(c.abnormalRounds, int64(r.AbnormalRounds))
}

func (c *stepColumns) args() []any {
	return []any{
		c.mchid, c.outRefundNo, c.expected, c.state, c.refundID, c.sequence, c.updatedAt, c.succeededAt, c.receivedAccount,
		c.failureCode, c.failureReason, c.nextCheckAt, c.checkAPI, c.checkCount, c.abnormalRounds,
	}
}

// checkWhile is the next check of a refund while it passes through a state:
// whatever is unresolved has one, for a moment as well.
func checkWhile(state pay.RefundState, r *pay.Refund) time.Time {
	if state.Unresolved() && r.NextCheckAt.IsZero() {
		return r.UpdatedAt
	}
	return r.NextCheckAt
}
