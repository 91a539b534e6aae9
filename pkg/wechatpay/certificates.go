package wechatpay

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"

	"github.com/wechatpay-apiv3/wechatpay-go/core"
	"github.com/wechatpay-apiv3/wechatpay-go/core/auth/validators"

	"github.com/fenflow/fenflow/pkg/merchant"
	"github.com/fenflow/fenflow/pkg/pay"
)

const certificatesPath = "/v3/certificates"

// PlatformCertificate is a certificate that WeChat Pay signs with, public.
type PlatformCertificate struct {
	Key merchant.PublicKey
	PEM []byte
}

// Certificates fetches the platform certificates. Merchants that have only a
// WeChat Pay public key are answered "not exist" (see IsNotExist).
//
// The first answer is signed by a certificate that is in it: it is decrypted
// under the APIv3 key first, and then verified with the keys that are known and
// those it brings (WeChat Pay doc 4012551764).
func (c *Client) Certificates(ctx context.Context) ([]PlatformCertificate, Answer, error) {
	if err := c.usable(c.cred.Merchant.MchID, pay.ProtocolV3); err != nil {
		return nil, Answer{}, err
	}
	verifier := ringVerifier{c.cred.Keyring, c.now}
	answer, header, err := c.fetchCertificates(ctx, verifier)
	if err != nil {
		return nil, answer, err
	}
	certificates, err := readCertificates(answer.Body, c.cred.APIv3Keys)
	if err != nil {
		return nil, Answer{}, answer.unknown(err)
	}
	known := c.cred.Keyring.All()
	for _, certificate := range certificates {
		known = append(known, certificate.Key)
	}
	verifier.keys = merchant.NewKeyring(known...)
	response := &http.Response{StatusCode: http.StatusOK, Header: header, Body: io.NopCloser(bytes.NewReader(answer.Body))}
	if err := validators.NewWechatPayResponseValidator(verifier).Validate(ctx, response); err != nil {
		return nil, Answer{}, callError(&core.APIResult{Response: response}, err)
	}
	return certificates, answer, nil
}

// fetchCertificates returns an answer that is not verified yet.
func (c *Client) fetchCertificates(ctx context.Context, verifier ringVerifier) (Answer, http.Header, error) {
	api := core.NewClientWithValidator(c.api, verifyLater{verifier})
	result, err := api.Request(ctx, http.MethodGet, c.base+certificatesPath, http.Header{"Accept": {"application/json"}}, nil, nil, "application/json")
	if result != nil && result.Response != nil {
		defer func() { _ = result.Response.Body.Close() }()
	}
	if err != nil {
		return Answer{}, nil, callError(result, err)
	}
	text, err := io.ReadAll(result.Response.Body)
	if err != nil {
		return Answer{}, nil, callError(nil, err)
	}
	return c.answer(result.Response, text), result.Response.Header, nil
}

// verifyLater lets an answer through that is verified right after.
type verifyLater struct{ verifier ringVerifier }

// Validate does nothing yet.
func (verifyLater) Validate(context.Context, *http.Response) error { return nil }

// GetAcceptSerial names the key that the answer shall be signed with.
func (l verifyLater) GetAcceptSerial(ctx context.Context) (string, error) {
	return l.verifier.GetSerial(ctx)
}

// readCertificates decrypts and parses the list. One that does not fit the
// serial it is listed under spoils all.
func readCertificates(body []byte, keys []merchant.Secret) ([]PlatformCertificate, error) {
	var list struct {
		Data []struct {
			SerialNo    string     `json:"serial_no"`
			Certificate resourceV3 `json:"encrypt_certificate"`
		} `json:"data"`
	}
	if err := json.Unmarshal(body, &list); err != nil {
		return nil, errors.New("read certificates: the answer is not JSON of the documented shape")
	}
	certificates := make([]PlatformCertificate, 0, len(list.Data))
	for _, entry := range list.Data {
		text, rejected := entry.Certificate.decrypt(keys)
		if rejected != nil {
			return nil, fmt.Errorf("decrypt certificate %s: %w", clip(entry.SerialNo), rejected)
		}
		key, err := merchant.ParseCertificatePEM(text)
		if err != nil {
			return nil, fmt.Errorf("parse certificate %s: %w", clip(entry.SerialNo), err)
		}
		if key.ID != entry.SerialNo {
			return nil, fmt.Errorf("parse certificate %s: its serial is %s", clip(entry.SerialNo), key.ID)
		}
		certificates = append(certificates, PlatformCertificate{Key: key, PEM: text})
	}
	if len(certificates) == 0 {
		return nil, errors.New("read certificates: the answer lists none")
	}
	return certificates, nil
}
