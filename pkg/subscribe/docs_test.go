package subscribe

import (
	"database/sql"
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"
)

func howTo(t *testing.T) string {
	t.Helper()
	raw, err := os.ReadFile("../../docs/how-to/subscribe-to-events-in-go.md")
	require.NoError(t, err)
	return string(raw)
}

func TestHowTo_shows_the_table_and_the_use_as_they_are(t *testing.T) {
	t.Parallel()
	page := howTo(t)
	require.Contains(t, page, DDL+";\n")
	source, err := os.ReadFile("doc.go")
	require.NoError(t, err)
	use := regexp.MustCompile(`(?s)//\tinbox, err := .*?\n//\t}\)`).FindString(string(source))
	require.NotEmpty(t, use)
	require.Contains(t, page, strings.ReplaceAll(strings.TrimPrefix(use, "//\t"), "\n//\t", "\n"))
}

// The recipe for other languages, as it stands on the page: two instances have
// the same event, and one effect.
func TestHowTo_tells_a_recipe_that_holds(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	_, err := w.db.ExecContext(t.Context(), DDL+`; CREATE TABLE parcels (out_trade_no text)`)
	require.NoError(t, err)
	recipe := regexp.MustCompile("(?s)```sql\n-- 1\n(.*?)```").FindStringSubmatch(howTo(t))
	require.NotNil(t, recipe)
	var steps []string
	for statement := range strings.SplitSeq(regexp.MustCompile(`--.*`).ReplaceAllString(recipe[1], ""), ";") {
		if statement = strings.TrimSpace(statement); statement != "" {
			steps = append(steps, statement)
		}
	}
	require.Equal(t, []string{"BEGIN", "COMMIT"}, []string{steps[0], steps[3]})
	id := uuid.NewString()
	one, other := begin(t, w.db), begin(t, w.db)
	require.EqualValues(t, 1, execute(t, one, steps[1], id))
	waited := make(chan int64, 1) // the other's answer
	go func() { waited <- execute(t, other, steps[1], id) }()
	w.awaitLockWait(t)
	require.EqualValues(t, 1, execute(t, one, steps[2], "T1"))
	require.NoError(t, one.Commit())
	require.Zero(t, <-waited, "the other finds that it was done")
	require.NoError(t, other.Commit())
	require.Equal(t, map[string]int{"T1": 1}, counts[int](t, w.db, `SELECT out_trade_no, count(*) FROM parcels GROUP BY 1`))
}

func begin(t *testing.T, db *sql.DB) *sql.Tx {
	t.Helper()
	tx, err := db.BeginTx(t.Context(), nil)
	require.NoError(t, err)
	t.Cleanup(func() { _ = tx.Rollback() })
	return tx
}

func execute(t *testing.T, tx *sql.Tx, statement string, argument any) int64 {
	t.Helper()
	done, err := tx.ExecContext(t.Context(), statement, argument)
	if err != nil {
		t.Error(err)
		return -1
	}
	n, err := done.RowsAffected()
	if err != nil {
		t.Error(err)
	}
	return n
}
