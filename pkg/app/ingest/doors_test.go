package ingest_test

import (
	"os/exec"
	"strings"
	"testing"

	"github.com/nats-io/nats.go"
	"github.com/stretchr/testify/require"

	"github.com/fenflow/fenflow/pkg/bus"
)

func TestIngest_is_built_without_database_or_server(t *testing.T) {
	t.Parallel()
	out, err := exec.CommandContext(t.Context(), "go", "list", "-deps", "github.com/fenflow/fenflow/cmd/ingest").Output()
	require.NoError(t, err)
	deps := strings.Fields(string(out))
	require.Contains(t, deps, "github.com/fenflow/fenflow/pkg/ingest")
	doors := []string{
		"github.com/lib/pq", "github.com/jmoiron/sqlx", "github.com/pressly/goose", "github.com/jackc/pgx", "github.com/go-sql-driver/mysql", "modernc.org/sqlite",
		"github.com/nats-io/nats-server", "github.com/wechatpay-apiv3/wechatpay-go/services",
		"github.com/fenflow/fenflow/pkg/store", "github.com/fenflow/fenflow/pkg/settle", "github.com/fenflow/fenflow/pkg/command",
		"github.com/fenflow/fenflow/pkg/simulator", "github.com/fenflow/fenflow/pkg/testkit",
	}
	require.NotContains(t, deps, "database/sql", "its subpackage driver is interfaces only, and comes with uuid")
	for _, dep := range deps {
		for _, door := range doors {
			require.False(t, dep == door || strings.HasPrefix(dep, door+"/"), "cmd/ingest reaches %s", dep)
		}
	}
}

func TestIngest_users_may_publish_nowhere_else(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	s.prove()
	elsewhere := []string{
		"pay.event.1900000109.order.paid", "pay.notify.replay", "pay.message.wx1.text", "$KV.platform_keys.durability", "$KV.platform_keys.keys.1900000109",
		"$JS.API.STREAM.DELETE.NOTIFY", "$JS.API.STREAM.PURGE.NOTIFY", "$JS.API.CONSUMER.CREATE.EVENT.x", "$JS.ACK.NOTIFY.x.1.1.1.1.0", "fenflow.wechat.token", "_INBOX_worker.x",
	}
	for user, also := range map[string][]string{
		"notify": {"pay.command.order.create.1900000109", "pay.command.refund.create.1900000109", "fenflow.read.order", "fenflow.read.refund", "fenflow.act.check", "fenflow.act.abnormal"},
		"api":    {"pay.notify.live.1", "pay.rejected.1900000109", "fenflow.verify.v2", "fenflow.verify.keys"},
	} {
		for _, subject := range append(also, elsewhere...) {
			denied := make(chan error, 1)
			conn, err := nats.Connect(s.nats.URL(), nats.UserInfo(user, "pw-of-"+user), nats.CustomInboxPrefix("_INBOX_"+user),
				nats.ErrorHandler(func(_ *nats.Conn, _ *nats.Subscription, err error) { denied <- err }))
			require.NoError(t, err)
			require.NoError(t, conn.Publish(subject, []byte(`{}`)))
			require.ErrorIs(t, <-denied, nats.ErrPermissionViolation, "%s may publish %s", user, subject)
			conn.Close()
		}
	}
	for _, stream := range []string{bus.StreamNotify, bus.StreamCommand, bus.StreamEvent, bus.StreamRejected} {
		require.Zero(t, s.messages(stream), stream)
	}
}
