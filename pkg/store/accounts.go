package store

import (
	"context"
	"database/sql"
	_ "embed"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/jmoiron/sqlx"

	"github.com/fenflow/fenflow/pkg/pay"
)

var (
	//go:embed queries/lock_login.sql
	lockLoginSQL string
	//go:embed queries/login_accounts.sql
	loginAccountsSQL string
	//go:embed queries/merge_accounts.sql
	mergeAccountsSQL string
	//go:embed queries/save_login.sql
	saveLoginSQL string
	//go:embed queries/read_account.sql
	readAccountSQL string
	//go:embed queries/account_identities.sql
	accountIdentitiesSQL string
	//go:embed queries/read_grant.sql
	readGrantSQL string
)

// mergeTries: an account is merged away once in its life, so that the second look
// finds what the first one missed.
const mergeTries = 5

// errMerged: an account was merged into another one while it was waited for.
var errMerged = errors.New("the account was merged into another one meanwhile")

// Arrive finds the account of a buyer, or makes it, and writes down what WeChat
// told of them. However many arrive at once, an openid has one account, and so has
// a unionid.
//
// An account without a unionid whose openid turns out to have another account's is
// merged into that one: its identities go over, and its id becomes a pointer, which
// orders and sessions go on using. Accounts with two different unionids are never
// merged, and a unionid never changes: it would, if the app moved to another Open
// Platform account, and buyers would find each other's orders.
func (s *Store) Arrive(ctx context.Context, a pay.Arrival) (pay.AccountID, error) {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	for try := 1; ; try++ {
		var id pay.AccountID
		err := s.inTx(ctx, func(tx *sqlx.Tx) (err error) {
			id, err = arrive(ctx, tx, a)
			return err
		})
		if !errors.Is(err, errMerged) || try == mergeTries {
			return id, failed(ctx, "record login", err)
		}
	}
}

func arrive(ctx context.Context, tx *sqlx.Tx, a pay.Arrival) (pay.AccountID, error) {
	keys := texts{fmt.Sprintf("openid %s %s %s", a.MchID, a.AppID, a.OpenID)}
	if a.UnionID != "" {
		keys = append(keys, fmt.Sprintf("unionid %s %s", a.MchID, a.UnionID))
	}
	if _, err := tx.ExecContext(ctx, lockLoginSQL, keys); err != nil {
		return "", failed(ctx, "lock login", err)
	}
	var known []loginAccountRow
	if err := tx.SelectContext(ctx, &known, loginAccountsSQL, string(a.MchID), string(a.AppID), string(a.OpenID), string(a.UnionID)); err != nil {
		return "", failed(ctx, "find account", err)
	}
	chosen, merged, err := choose(known)
	if err != nil {
		return "", err
	}
	if merged != "" {
		if _, err := tx.ExecContext(ctx, mergeAccountsSQL, string(a.MchID), merged, chosen.AccountID, instant(a.At)); err != nil {
			return "", failed(ctx, "merge accounts", err)
		}
	}
	return pay.AccountID(chosen.AccountID), saveLogin(ctx, tx, chosen.AccountID, a)
}

// choose says which account it is, and which one is merged into it.
func choose(known []loginAccountRow) (chosen loginAccountRow, merged string, err error) {
	var ofOpenID, ofUnionID *loginAccountRow
	for i := range known {
		switch {
		case known[i].MergedInto.Valid:
			return loginAccountRow{}, "", errMerged
		case known[i].IsOpenIDs:
			ofOpenID = &known[i]
		default:
			ofUnionID = &known[i]
		}
	}
	switch {
	case ofOpenID != nil && ofUnionID != nil && ofOpenID.UnionID == "":
		return *ofUnionID, ofOpenID.AccountID, nil
	case ofOpenID != nil:
		return *ofOpenID, "", nil
	case ofUnionID != nil:
		return *ofUnionID, "", nil
	}
	id, err := uuid.NewV7()
	if err != nil {
		return loginAccountRow{}, "", fmt.Errorf("make account id: %w", err)
	}
	return loginAccountRow{AccountID: id.String()}, "", nil
}

func saveLogin(ctx context.Context, tx *sqlx.Tx, id string, a pay.Arrival) error {
	var grant any
	if a.Grant.Sealed != nil {
		grant = a.Grant.Sealed
	} else {
		a.Grant = pay.Grant{}
	}
	written, err := affected(tx.ExecContext(ctx, saveLoginSQL, string(a.MchID), id, string(a.UnionID), legible(a.Nickname), legible(a.AvatarURL), legible(a.Phone),
		instant(a.At), string(a.AppID), string(a.OpenID), a.LoggedIn, grant, a.Grant.Scope, nullTime(instant(a.Grant.ExpiresAt))))
	if err == nil && !written {
		return errMerged
	}
	return failed(ctx, "save login", err)
}

// Account reads an account by its id, or by one that was merged into it.
func (s *Store) Account(ctx context.Context, mchid pay.MchID, id pay.AccountID) (pay.Account, bool, error) {
	key, err := uuid.Parse(string(id))
	if err != nil {
		return pay.Account{}, false, nil // what is no UUID is the id of no account
	}
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	var row accountRow
	err = s.db.GetContext(ctx, &row, readAccountSQL, string(mchid), key.String())
	if errors.Is(err, sql.ErrNoRows) {
		return pay.Account{}, false, nil
	}
	if err != nil {
		return pay.Account{}, false, failed(ctx, "read account", err)
	}
	account := row.account()
	var identities []identityRow
	if err := s.db.SelectContext(ctx, &identities, accountIdentitiesSQL, string(mchid), string(account.ID)); err != nil {
		return pay.Account{}, false, failed(ctx, "read identities", err)
	}
	for i := range identities {
		account.Identities = append(account.Identities, identities[i].identity())
	}
	return account, true, nil
}

// GrantedIdentity says how an app knows the buyer of an account, and what WeChat
// granted for asking.
func (s *Store) GrantedIdentity(ctx context.Context, mchid pay.MchID, id pay.AccountID, appid pay.AppID) (pay.GrantedIdentity, bool, error) {
	key, err := uuid.Parse(string(id))
	if err != nil {
		return pay.GrantedIdentity{}, false, nil // what is no UUID is the id of no account
	}
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	var row identityRow
	err = s.db.GetContext(ctx, &row, readGrantSQL, string(mchid), key.String(), string(appid))
	if errors.Is(err, sql.ErrNoRows) {
		return pay.GrantedIdentity{}, false, nil
	}
	return pay.GrantedIdentity{
		Identity: row.identity(),
		Grant:    pay.Grant{Sealed: row.GrantSealed, Scope: row.GrantScope, ExpiresAt: instant(row.GrantExpiresAt.Time)},
	}, err == nil, failed(ctx, "read grant", err)
}

type loginAccountRow struct {
	AccountID  string         `db:"account_id"`
	UnionID    string         `db:"unionid"`
	MergedInto sql.NullString `db:"merged_into"`
	IsOpenIDs  bool           `db:"is_openids"`
}

type accountRow struct {
	MchID     string    `db:"mchid"`
	AccountID string    `db:"account_id"`
	UnionID   string    `db:"unionid"`
	Nickname  string    `db:"nickname"`
	AvatarURL string    `db:"avatar_url"`
	Phone     string    `db:"phone"`
	CreatedAt time.Time `db:"created_at"`
	UpdatedAt time.Time `db:"updated_at"`
}

func (r *accountRow) account() pay.Account {
	return pay.Account{
		MchID: pay.MchID(r.MchID), ID: pay.AccountID(r.AccountID), UnionID: pay.UnionID(r.UnionID), Nickname: r.Nickname, AvatarURL: r.AvatarURL,
		Phone: r.Phone, CreatedAt: instant(r.CreatedAt), UpdatedAt: instant(r.UpdatedAt),
	}
}

type identityRow struct {
	AppID          string       `db:"appid"`
	OpenID         string       `db:"openid"`
	SeenAt         time.Time    `db:"seen_at"`
	GrantSealed    []byte       `db:"grant_sealed"`
	GrantScope     string       `db:"grant_scope"`
	GrantExpiresAt sql.NullTime `db:"grant_expires_at"`
}

func (r *identityRow) identity() pay.Identity {
	return pay.Identity{AppID: pay.AppID(r.AppID), OpenID: pay.OpenID(r.OpenID), SeenAt: instant(r.SeenAt)}
}
