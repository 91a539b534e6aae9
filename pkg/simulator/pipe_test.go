package simulator_test

import (
	"context"
	"fmt"
	"net"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/wechatpay-apiv3/wechatpay-go/core/auth/signers"

	"github.com/fenflow/fenflow/pkg/simulator"
)

// pipeListener hands out in-memory connections.
type pipeListener struct {
	connections chan net.Conn
	done        chan struct{}
	once        sync.Once
}

func (l *pipeListener) dial(ctx context.Context, _, _ string) (net.Conn, error) {
	client, server := net.Pipe()
	select {
	case l.connections <- server:
		return client, nil
	case <-l.done:
		return nil, net.ErrClosed
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

func (l *pipeListener) Accept() (net.Conn, error) {
	select {
	case c := <-l.connections:
		return c, nil
	case <-l.done:
		return nil, net.ErrClosed
	}
}

func (l *pipeListener) Close() error { l.once.Do(func() { close(l.done) }); return nil }

func (l *pipeListener) Addr() net.Addr { return &net.TCPAddr{} }

// call signs a request and hands it to the simulator without a network.
func call(t testing.TB, s *simulator.Simulator, m simulator.Merchant, method, uri, body string) *httptest.ResponseRecorder {
	t.Helper()
	request := httptest.NewRequest(method, uri, strings.NewReader(body))
	timestamp, nonce := strconv.FormatInt(time.Now().Unix(), 10), "593BEC0C930BF1AFEB40B4A08C8FB242"
	signer := signers.SHA256WithRSASigner{MchID: m.Mchid, CertificateSerialNo: m.Serial, PrivateKey: m.PrivateKey}
	signature, err := signer.Sign(context.Background(), method+"\n"+uri+"\n"+timestamp+"\n"+nonce+"\n"+body+"\n")
	require.NoError(t, err)
	request.Header.Set("Authorization", fmt.Sprintf(
		`WECHATPAY2-SHA256-RSA2048 mchid="%s",nonce_str="%s",signature="%s",timestamp="%s",serial_no="%s"`,
		m.Mchid, nonce, signature.Signature, timestamp, m.Serial))
	request.Header.Set("Accept", "application/json")
	request.Header.Set("User-Agent", "test")
	request.Header.Set("Content-Type", "application/json")
	recorder := httptest.NewRecorder()
	s.Handler().ServeHTTP(recorder, request)
	return recorder
}
