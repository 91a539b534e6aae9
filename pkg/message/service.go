package message

import (
	"context"
	"io"
	"log/slog"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/fenflow/fenflow/pkg/merchant"
	"github.com/fenflow/fenflow/pkg/pay"
	"github.com/fenflow/fenflow/pkg/telemetry"
)

// Apps tell what is known of an app that belongs to one merchant.
type Apps interface {
	AppSecrets(id pay.AppID) (mchid pay.MchID, app merchant.App, secrets merchant.AppSecrets, found bool)
}

// Publisher puts a message where business systems fetch it, and returns once it is
// on disk. The same id twice within minutes is stored once.
type Publisher interface {
	PublishMessage(ctx context.Context, appid pay.AppID, typ, id string, body []byte) error
}

// Memory knows what was published.
type Memory interface {
	MessageSeen(ctx context.Context, appid pay.AppID, key string) (bool, error)
	RememberMessage(ctx context.Context, appid pay.AppID, key string, at time.Time) error
}

// Options are what a Service works with.
type Options struct {
	Apps     Apps
	Bus      Publisher
	Memory   Memory
	Now      func() time.Time
	Random   io.Reader // for sealed replies
	Log      *slog.Logger
	Registry prometheus.Registerer
}

// Service takes messages.
type Service struct {
	Options

	answers *prometheus.CounterVec
}

// New makes a Service.
func New(o Options) *Service {
	return &Service{o, telemetry.Counter(o.Registry, "server_messages", "Server messages of WeChat by how they ended. What is refused or fails is not answered 2xx.", "outcome")}
}
