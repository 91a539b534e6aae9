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
	//go:embed queries/create_order.sql
	createOrderSQL string
	//go:embed queries/read_order.sql
	readOrderSQL string
)

// errVanished: an order stood in the way of an insert and was gone when read.
// Orders are never deleted, so only an operator's hand can do this.
var errVanished = errors.New("the order that was in the way is gone")

// CreateOrder places an order, or finds the one that has its number: created
// says which. Row, first history entry and event are written by one statement.
// The caller compares digests to tell a repeat from another order.
func (s *Store) CreateOrder(ctx context.Context, o pay.Order) (order pay.Order, created bool, events []pay.Outgoing, err error) {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	book, change := pay.NewOrder(settledOrder(o), pay.SourceCommand)
	outgoing, err := encodeEvents(change.Events)
	if err != nil {
		return pay.Order{}, false, nil, &Error{step: "encode events", broken: true, err: err}
	}
	var placed int
	err = s.db.GetContext(ctx, &placed, createOrderSQL, createOrderArgs(book.Order, change.History, outgoing)...)
	if err != nil {
		return pay.Order{}, false, nil, failed(ctx, "insert order", err)
	}
	if placed == 1 {
		return *book.Order, true, outgoing, nil
	}
	existing, found, err := s.Order(ctx, o.MchID, o.OutTradeNo)
	if err == nil && !found {
		err = failed(ctx, "read order", errVanished)
	}
	return existing, false, nil, err
}

// Order reads one order.
func (s *Store) Order(ctx context.Context, mchid pay.MchID, no pay.OutTradeNo) (pay.Order, bool, error) {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	var row orderRow
	err := s.db.GetContext(ctx, &row, readOrderSQL, string(mchid), string(no))
	if errors.Is(err, sql.ErrNoRows) {
		return pay.Order{}, false, nil
	}
	if err != nil {
		return pay.Order{}, false, failed(ctx, "read order", err)
	}
	return row.order(), true, nil
}

// settledOrder gives an order the times, and the call that is due, that it will
// be read back with.
func settledOrder(o pay.Order) pay.Order {
	for _, at := range []*time.Time{&o.CreatedAt, &o.UpdatedAt, &o.ExpiresAt, &o.Credential.ExpiresAt, &o.PaidAt, &o.ClosedAt, &o.NextCheckAt} {
		*at = instant(*at)
	}
	o.CheckAPI = cmp.Or(o.CheckAPI, pay.APIOrderQuery)
	return o
}

func createOrderArgs(o *pay.Order, history []pay.HistoryEntry, events []pay.Outgoing) []any {
	var h historyColumns
	for _, entry := range history {
		h.add(entry, "") // a command's delivery has no bytes of WeChat Pay's
	}
	var e outboxColumns
	for _, event := range events {
		e.add(event)
	}
	args := []any{
		string(o.MchID), string(o.OutTradeNo), string(o.AppID), string(o.Client), string(o.Protocol),
		o.Description, int64(o.Amount), o.Currency, string(o.OpenID), o.Attach, o.Digest,
		string(o.State), o.Sequence, o.CreatedAt, o.UpdatedAt, o.ExpiresAt, present(o.PrepayRequest), nullTime(o.NextCheckAt),
		string(o.CheckAPI),
	}
	return append(append(append(args, h.args()...), e.args()...), string(o.AccountID))
}

// orderRow is an order as its table holds it.
type orderRow struct {
	MchID               string         `db:"mchid"`
	OutTradeNo          string         `db:"out_trade_no"`
	AppID               string         `db:"appid"`
	Client              string         `db:"client"`
	Protocol            string         `db:"protocol"`
	Description         string         `db:"description"`
	AmountFen           int64          `db:"amount_fen"`
	Currency            string         `db:"currency"`
	OpenID              string         `db:"openid"`
	Attach              string         `db:"attach"`
	Digest              string         `db:"digest"`
	State               string         `db:"state"`
	Sequence            int64          `db:"sequence"`
	CreatedAt           time.Time      `db:"created_at"`
	UpdatedAt           time.Time      `db:"updated_at"`
	ExpiresAt           time.Time      `db:"expires_at"`
	PrepayRequest       []byte         `db:"prepay_request"`
	PrepayID            string         `db:"prepay_id"`
	CodeURL             string         `db:"code_url"`
	H5URL               string         `db:"h5_url"`
	CredentialExpiresAt sql.NullTime   `db:"credential_expires_at"`
	TransactionID       sql.NullString `db:"transaction_id"`
	PaidAt              sql.NullTime   `db:"paid_at"`
	Late                bool           `db:"late"`
	ClosedAt            sql.NullTime   `db:"closed_at"`
	FailureCode         string         `db:"failure_code"`
	FailureReason       string         `db:"failure_reason"`
	NextCheckAt         sql.NullTime   `db:"next_check_at"`
	CheckAPI            string         `db:"check_api"`
	CloseCount          int            `db:"close_count"`
	CloseRequestedAt    sql.NullTime   `db:"close_requested_at"`
	CheckedAt           sql.NullTime   `db:"checked_at"`
	AccountID           sql.NullString `db:"account_id"`
}

func (r *orderRow) order() pay.Order {
	return pay.Order{
		MchID: pay.MchID(r.MchID), OutTradeNo: pay.OutTradeNo(r.OutTradeNo), AppID: pay.AppID(r.AppID),
		Client: pay.Client(r.Client), Protocol: pay.Protocol(r.Protocol), Description: r.Description,
		Amount: pay.Fen(r.AmountFen), Currency: r.Currency, OpenID: pay.OpenID(r.OpenID), Attach: r.Attach, Digest: r.Digest,
		State: pay.OrderState(r.State), Sequence: r.Sequence,
		CreatedAt: instant(r.CreatedAt), UpdatedAt: instant(r.UpdatedAt), ExpiresAt: instant(r.ExpiresAt),
		PrepayRequest: r.PrepayRequest,
		Credential:    pay.Credential{PrepayID: r.PrepayID, CodeURL: r.CodeURL, H5URL: r.H5URL, ExpiresAt: instant(r.CredentialExpiresAt.Time)},
		TransactionID: pay.TransactionID(r.TransactionID.String), PaidAt: instant(r.PaidAt.Time), Late: r.Late,
		ClosedAt: instant(r.ClosedAt.Time), FailureCode: r.FailureCode, FailureReason: r.FailureReason,
		NextCheckAt: instant(r.NextCheckAt.Time), CheckAPI: pay.API(r.CheckAPI), CloseCount: r.CloseCount,
		CloseRequestedAt: instant(r.CloseRequestedAt.Time), CheckedAt: instant(r.CheckedAt.Time),
		AccountID: pay.AccountID(r.AccountID.String),
	}
}

// orderColumns are the orders that a batch moved: what can change, and the
// sequence that the row must still have.
type orderColumns struct {
	mchid, outTradeNo, state, prepayID, codeURL, transactionID, failureCode, failureReason, checkAPI, h5URL texts
	expected, sequence                                                                                      integers
	updatedAt, credentialExpiresAt, paidAt, closedAt, nextCheckAt, checkedAt                                instants
	late                                                                                                    booleans
}

func (c *orderColumns) add(o *pay.Order, expected int64) {
	c.mchid = append(c.mchid, string(o.MchID))
	c.outTradeNo = append(c.outTradeNo, string(o.OutTradeNo))
	c.expected = append(c.expected, expected)
	c.state = append(c.state, string(o.State))
	c.sequence = append(c.sequence, o.Sequence)
	c.updatedAt = append(c.updatedAt, o.UpdatedAt)
	c.prepayID = append(c.prepayID, o.Credential.PrepayID)
	c.codeURL = append(c.codeURL, o.Credential.CodeURL)
	c.credentialExpiresAt = append(c.credentialExpiresAt, o.Credential.ExpiresAt)
	c.transactionID = append(c.transactionID, string(o.TransactionID))
	c.paidAt = append(c.paidAt, o.PaidAt)
	c.late = append(c.late, o.Late)
	c.closedAt = append(c.closedAt, o.ClosedAt)
	c.failureCode = append(c.failureCode, o.FailureCode)
	c.failureReason = append(c.failureReason, o.FailureReason)
	c.nextCheckAt = append(c.nextCheckAt, o.NextCheckAt)
	c.checkAPI = append(c.checkAPI, string(o.CheckAPI))
	c.checkedAt = append(c.checkedAt, o.CheckedAt)
	c.h5URL = append(c.h5URL, o.Credential.H5URL)
}

func (c *orderColumns) args() []any {
	return []any{
		c.mchid, c.outTradeNo, c.expected, c.state, c.sequence, c.updatedAt, c.prepayID, c.codeURL,
		c.credentialExpiresAt, c.transactionID, c.paidAt, c.late, c.closedAt, c.failureCode, c.failureReason, c.nextCheckAt,
		c.checkAPI, c.checkedAt, c.h5URL,
	}
}
