package store

import (
	"context"
	"database/sql"
	_ "embed"
	"errors"
	"time"

	"github.com/google/uuid"

	"github.com/fenflow/fenflow/pkg/pay"
)

var (
	//go:embed queries/finish_command.sql
	finishCommandSQL string
	//go:embed queries/read_command.sql
	readCommandSQL string
)

// FinishCommand records how a command ended. The first final outcome stays; an
// "unavailable" may be bettered by a later run of the same command.
func (s *Store) FinishCommand(ctx context.Context, r pay.CommandResult) error {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	_, err := s.db.ExecContext(ctx, finishCommandSQL,
		string(r.MchID), string(r.ID), string(r.Kind), string(r.OutTradeNo), string(r.OutRefundNo), r.Digest,
		string(r.Outcome), r.Status, present(r.Body), r.ReceivedAt.UTC(), r.FinishedAt.UTC())
	return failed(ctx, "finish command", err)
}

// Command reads how a command ended. A number that is no command id is simply
// not found: it may come from a shop's URL.
func (s *Store) Command(ctx context.Context, mchid pay.MchID, id pay.CommandID) (pay.CommandResult, bool, error) {
	parsed, err := uuid.Parse(string(id))
	if err != nil {
		return pay.CommandResult{}, false, nil
	}
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	var row commandRow
	err = s.db.GetContext(ctx, &row, readCommandSQL, string(mchid), parsed.String())
	if errors.Is(err, sql.ErrNoRows) {
		return pay.CommandResult{}, false, nil
	}
	if err != nil {
		return pay.CommandResult{}, false, failed(ctx, "read command", err)
	}
	return row.result(), true, nil
}

type commandRow struct {
	MchID       string    `db:"mchid"`
	CommandID   string    `db:"command_id"`
	Kind        string    `db:"kind"`
	OutTradeNo  string    `db:"out_trade_no"`
	OutRefundNo string    `db:"out_refund_no"`
	Digest      string    `db:"digest"`
	Outcome     string    `db:"outcome"`
	Status      int       `db:"status"`
	Body        []byte    `db:"body"`
	ReceivedAt  time.Time `db:"received_at"`
	FinishedAt  time.Time `db:"finished_at"`
}

func (r *commandRow) result() pay.CommandResult {
	return pay.CommandResult{
		ID: pay.CommandID(r.CommandID), MchID: pay.MchID(r.MchID), Kind: pay.CommandKind(r.Kind),
		OutTradeNo: pay.OutTradeNo(r.OutTradeNo), OutRefundNo: pay.OutRefundNo(r.OutRefundNo),
		Digest: r.Digest, Outcome: pay.CommandOutcome(r.Outcome), Status: r.Status, Body: r.Body, ReceivedAt: instant(r.ReceivedAt), FinishedAt: instant(r.FinishedAt),
	}
}
