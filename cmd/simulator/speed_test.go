package main

import (
	"bufio"
	"context"
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sync/errgroup"

	"github.com/fenflow/fenflow/pkg/simulator"
)

// The stand-in must not be the bottleneck of a benchmark: a thousand prepays or a
// thousand notifications a second from one core is a millisecond of CPU time each.
const (
	budget      = time.Millisecond
	enough      = 1000 // requests from which a rate means something
	connections = 16
)

// BenchmarkAnswerPrepay runs the real program, its journal included, on one core
// and sends it requests that were signed before the clock starts. The client's own
// work falls to another process, this one.
func BenchmarkAnswerPrepay(b *testing.B) {
	p := newProgram(b)
	requests := p.prepays(b)
	p.start(b)
	b.ResetTimer()
	p.send(b, len(requests), func(i int) *http.Request { return requests[i] })
	b.StopTimer()
	p.report(b, p.stop(b))
}

// BenchmarkSendNotification pays orders through /control and waits for the signed
// and encrypted notifications. The orders were placed with an earlier process and
// are read from the journal, so that the time is that of paying and posting.
func BenchmarkSendNotification(b *testing.B) {
	p := newProgram(b)
	var arrived atomic.Int64
	all := make(chan struct{})
	shop := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		w.WriteHeader(http.StatusNoContent)
		if arrived.Add(1) == int64(b.N) {
			close(all)
		}
	}))
	defer shop.Close()
	requests := p.prepays(b)
	p.start(b)
	p.send(b, len(requests), func(i int) *http.Request { return requests[i] })
	p.stop(b)

	p.start(b)
	b.ResetTimer()
	p.send(b, b.N, func(i int) *http.Request {
		request, err := http.NewRequest(http.MethodPost, p.url+"/control/orders/"+orderNumber(i)+"/pay",
			strings.NewReader(`{"notify_url":"`+shop.URL+`"}`))
		require.NoError(b, err)
		return request
	})
	<-all
	b.StopTimer()
	p.report(b, p.stop(b))
}

func orderNumber(i int) string { return fmt.Sprintf("speed-%08d", i) }

// program is cmd/simulator, built as anyone would, with a merchant of its own.
type program struct {
	binary, dir, address, url string
	merchant                  simulator.Merchant
	running                   *exec.Cmd
	client                    http.Client
}

func newProgram(b *testing.B) *program {
	b.Helper()
	p := &program{binary: filepath.Join(b.TempDir(), "simulator"), dir: b.TempDir(), address: "127.0.0.1:0",
		client: http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: connections}}}
	out, err := exec.Command("go", "build", "-o", p.binary, ".").CombinedOutput()
	require.NoError(b, err, string(out))
	p.merchant, err = simulator.Init(p.dir, simulator.InitOptions{}.WithDefaults())
	require.NoError(b, err)
	return p
}

// start gives the program one core.
func (p *program) start(b *testing.B) {
	b.Helper()
	p.running = exec.Command(p.binary, "serve", "--dir", p.dir, "--listen", p.address, "--json")
	p.running.Env = append(os.Environ(), "GOMAXPROCS=1")
	stdout, err := p.running.StdoutPipe()
	require.NoError(b, err)
	require.NoError(b, p.running.Start())
	b.Cleanup(func() { _ = p.running.Process.Kill() }) // does nothing after stop
	line, err := bufio.NewReader(stdout).ReadBytes('\n')
	require.NoError(b, err)
	var serving struct{ URL, Address string }
	require.NoError(b, json.Unmarshal(line, &serving))
	p.url, p.address = serving.URL, serving.Address
}

// stop returns the CPU time that the process took, of all its threads.
func (p *program) stop(b *testing.B) time.Duration {
	b.Helper()
	p.client.CloseIdleConnections()
	require.NoError(b, p.running.Process.Signal(os.Interrupt))
	require.NoError(b, p.running.Wait())
	return p.running.ProcessState.UserTime() + p.running.ProcessState.SystemTime()
}

func (p *program) report(b *testing.B, cpu time.Duration) {
	b.Helper()
	each := cpu / time.Duration(b.N)
	b.ReportMetric(float64(each)/float64(time.Microsecond), "cpu-µs/op")
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "op/s")
	if b.N >= enough && each > budget {
		b.Errorf("%s of CPU time each: %.0f a second is all that one core gives", each, float64(time.Second)/float64(each))
	}
}

func (p *program) send(b *testing.B, n int, request func(int) *http.Request) {
	b.Helper()
	senders, _ := errgroup.WithContext(context.Background())
	var next atomic.Int64
	for range connections {
		senders.Go(func() error {
			for i := int(next.Add(1)) - 1; i < n; i = int(next.Add(1)) - 1 {
				if err := p.exchange(request(i)); err != nil {
					return err
				}
			}
			return nil
		})
	}
	require.NoError(b, senders.Wait())
}

func (p *program) exchange(request *http.Request) error {
	request.URL.Host = p.address
	response, err := p.client.Do(request)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err == nil && response.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s: %s", response.Status, body)
	}
	return err
}

// prepays are signed, complete requests for b.N orders.
func (p *program) prepays(b *testing.B) []*http.Request {
	b.Helper()
	requests := make([]*http.Request, b.N)
	for i := range requests {
		body := fmt.Sprintf(`{"appid":%q,"mchid":%q,"description":"One pot of tea","out_trade_no":%q,`+
			`"notify_url":"http://127.0.0.1:8080/notify/v3/1900000109","amount":{"total":100,"currency":"CNY"},`+
			`"payer":{"openid":"oUpF8uMuAJO_M2pxb1Q9zNjWeS6o"}}`, p.merchant.Appid, p.merchant.Mchid, orderNumber(i))
		requests[i] = p.signed(b, "/v3/pay/transactions/jsapi", body)
	}
	return requests
}

func (p *program) signed(b *testing.B, path, body string) *http.Request {
	b.Helper()
	timestamp, nonce := strconv.FormatInt(time.Now().Unix(), 10), rand.Text()
	digest := sha256.Sum256([]byte("POST\n" + path + "\n" + timestamp + "\n" + nonce + "\n" + body + "\n"))
	signature, err := rsa.SignPKCS1v15(nil, p.merchant.PrivateKey, crypto.SHA256, digest[:])
	require.NoError(b, err)
	request, err := http.NewRequest(http.MethodPost, "http://simulator"+path, strings.NewReader(body))
	require.NoError(b, err)
	request.Header.Set("Authorization", fmt.Sprintf(
		`WECHATPAY2-SHA256-RSA2048 mchid="%s",nonce_str="%s",signature="%s",timestamp="%s",serial_no="%s"`,
		p.merchant.Mchid, nonce, base64.StdEncoding.EncodeToString(signature), timestamp, p.merchant.Serial))
	request.Header.Set("Accept", "application/json")
	request.Header.Set("Content-Type", "application/json")
	request.Header.Set("User-Agent", "benchmark")
	return request
}
