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
	//go:embed queries/create_token.sql
	createTokenSQL string
	//go:embed queries/token_by_sum.sql
	tokenBySumSQL string
	//go:embed queries/list_tokens.sql
	listTokensSQL string
	//go:embed queries/revoke_token.sql
	revokeTokenSQL string
)

// CreateToken keeps a token by the SHA-256 of its secret and says whether it
// did: the name of a living token is not given twice. An empty id is made here,
// and the zero CreatedAt is now.
func (s *Store) CreateToken(ctx context.Context, t pay.Token, sum [32]byte) (bool, error) {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	if t.ID == "" {
		id, err := uuid.NewV7()
		if err != nil {
			return false, failed(ctx, "make token id", err)
		}
		t.ID = id.String()
	}
	var made int
	err := s.db.GetContext(ctx, &made, createTokenSQL, t.ID, t.Name, string(t.Role), sum[:], nullTime(instant(t.CreatedAt)), t.CreatedBy)
	return made == 1, failed(ctx, "create token", err)
}

// TokenBySum finds the living token of a secret, and notes that it is used.
func (s *Store) TokenBySum(ctx context.Context, sum [32]byte) (pay.Token, bool, error) {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	var row tokenRow
	err := s.db.GetContext(ctx, &row, tokenBySumSQL, sum[:])
	if errors.Is(err, sql.ErrNoRows) {
		return pay.Token{}, false, nil
	}
	return row.token(), err == nil, failed(ctx, "read token", err)
}

// Tokens lists all tokens, revoked ones at the end.
func (s *Store) Tokens(ctx context.Context) ([]pay.Token, error) {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	var rows []tokenRow
	if err := s.db.SelectContext(ctx, &rows, listTokensSQL); err != nil {
		return nil, failed(ctx, "list tokens", err)
	}
	tokens := make([]pay.Token, len(rows))
	for i := range rows {
		tokens[i] = rows[i].token()
	}
	return tokens, nil
}

// RevokeToken ends the living token of a name, and says whether there was one.
// From the commit on, TokenBySum does not find it.
func (s *Store) RevokeToken(ctx context.Context, name, actor string) (bool, error) {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	var revoked int
	err := s.db.GetContext(ctx, &revoked, revokeTokenSQL, legible(name), legible(actor))
	return revoked > 0, failed(ctx, "revoke token", err)
}

type tokenRow struct {
	TokenID    string       `db:"token_id"`
	Name       string       `db:"name"`
	Role       string       `db:"role"`
	CreatedAt  time.Time    `db:"created_at"`
	CreatedBy  string       `db:"created_by"`
	RevokedAt  sql.NullTime `db:"revoked_at"`
	LastUsedAt sql.NullTime `db:"last_used_at"`
}

func (r *tokenRow) token() pay.Token {
	return pay.Token{
		ID: r.TokenID, Name: r.Name, Role: pay.TokenRole(r.Role), CreatedAt: instant(r.CreatedAt), CreatedBy: r.CreatedBy,
		RevokedAt: instant(r.RevokedAt.Time), LastUsedAt: instant(r.LastUsedAt.Time),
	}
}
