package wechatpay

import (
	"context"
	"crypto/x509"
	"fmt"
	"net/http"
	"time"
)

// Probed is what an address of WeChat Pay's said to a question without a
// signature, which anybody may ask.
type Probed struct {
	Status      int
	Date        time.Time     // of the answer's header; zero: it had none
	AskedAt     time.Time     // our clock, half-way between question and answer
	Blur        time.Duration // how far AskedAt may be off: half of what that took
	Certificate *x509.Certificate
	Issuers     []*x509.Certificate // the rest of the verified chain, up to the root
}

// Probe asks an address over the same kind of connection that calls use: the
// same proxy, the same roots. It never tries the second host.
func Probe(ctx context.Context, o ClientOptions) (Probed, error) {
	base, err := parseBase("base_url", o.BaseURL)
	if err != nil {
		return Probed{}, err
	}
	o.BackupURL = ""
	client, err := newHTTPClient(o, nil)
	if err != nil {
		return Probed{}, err
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, base.Scheme+"://"+base.Host+"/", http.NoBody)
	if err != nil {
		return Probed{}, fmt.Errorf("make request: %w", err)
	}
	request.Close = true // it is asked once
	asked := time.Now()
	response, err := client.Do(request)
	if err != nil {
		return Probed{}, fmt.Errorf("ask %s: %w", base.Host, err)
	}
	took := time.Since(asked)
	_ = response.Body.Close()
	p := Probed{Status: response.StatusCode, AskedAt: asked.Add(took / 2), Blur: took / 2}
	p.Date, _ = http.ParseTime(response.Header.Get("Date")) // a broken one is none
	if t := response.TLS; t != nil && len(t.VerifiedChains) > 0 {
		p.Certificate, p.Issuers = t.VerifiedChains[0][0], t.VerifiedChains[0][1:]
	}
	return p, nil
}
