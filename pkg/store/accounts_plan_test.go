package store_test

import (
	"encoding/json"
	"os"
	"testing"

	"github.com/stretchr/testify/require"
)

// A planner that expects thousands of rows reads the whole table once it is big, or
// compiles the statement first, for each login.
func TestArrive_looks_for_one_account_however_many_have_no_unionid(t *testing.T) {
	t.Parallel()
	b := setup(t)
	for _, statement := range []string{
		`INSERT INTO accounts (mchid, account_id, unionid, created_at, updated_at)
		 SELECT 'm', gen_random_uuid(), CASE WHEN n % 2 = 0 THEN 'u' || n ELSE '' END, now(), now() FROM generate_series(1, 20000) AS n`,
		`ANALYZE accounts`,
	} {
		_, err := b.sql.ExecContext(t.Context(), statement)
		require.NoError(t, err)
	}
	statement, err := os.ReadFile("queries/login_accounts.sql")
	require.NoError(t, err)
	for _, unionid := range []string{"", "u1000"} {
		var plan string
		require.NoError(t, b.sql.QueryRowContext(t.Context(), "EXPLAIN (FORMAT JSON) "+string(statement), "m", "wx1", "o1", unionid).Scan(&plan))
		var told []struct {
			Plan struct {
				Rows int `json:"Plan Rows"`
			}
		}
		require.NoError(t, json.Unmarshal([]byte(plan), &told))
		require.Less(t, told[0].Plan.Rows, 100, "unionid %q: %s", unionid, plan)
	}
}
