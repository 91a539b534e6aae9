package wechatpay

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"net/http"

	"github.com/fenflow/fenflow/pkg/merchant"
	"github.com/fenflow/fenflow/pkg/pay"
)

func signsV2(cred *merchant.Credentials) bool { return currentKeyV2(cred) != "" }

// currentKeyV2 is the APIv2 key that we sign with; the others only verify.
func currentKeyV2(cred *merchant.Credentials) merchant.Secret {
	for _, key := range cred.APIv2Keys {
		if key != "" {
			return key
		}
	}
	return ""
}

// signTypeV2 is how the merchant signs. The protocol's own default is MD5;
// ours is the stronger one, which every v2 API takes.
func signTypeV2(m merchant.Merchant) string {
	if m.SignTypeV2 == signTypeMD5 {
		return signTypeMD5
	}
	return signTypeHMAC
}

// message completes and signs the elements of a v2 request.
func (c *Client) message(appID pay.AppID, fields fieldsV2) ([]byte, error) {
	fields["appid"], fields["mch_id"] = string(appID), string(c.cred.Merchant.MchID)
	fields["nonce_str"], fields["sign_type"] = rand.Text(), signTypeV2(c.cred.Merchant)
	fields["sign"] = signV2(fields, currentKeyV2(c.cred), fields["sign_type"])
	return writeXML(fields)
}

// stored reads a message that was made once and kept, and gives the bytes to
// send: those very bytes, unless they were signed with a key that is no longer
// the current one. Then the same elements are signed anew: the parameters of a
// repetition must not change, and its sign may.
func (c *Client) stored(body []byte) (sent fieldsV2, text []byte, err error) {
	sent, rejected := parseXML(body, "xml")
	switch {
	case rejected != nil:
		return nil, nil, misuse("the stored request is no message of protocol v2: %w", rejected)
	case sent["mch_id"] != string(c.cred.Merchant.MchID):
		return nil, nil, misuse("the stored request is about merchant %s, and this client is of merchant %s", clip(sent["mch_id"]), c.cred.Merchant.MchID)
	}
	sign := signV2(sent, currentKeyV2(c.cred), sent["sign_type"])
	if sign == sent["sign"] {
		return sent, body, nil
	}
	sent["sign"] = sign
	if text, err = writeXML(sent); err != nil {
		return nil, nil, misuse("sign the stored request anew: %w", err)
	}
	return sent, text, nil
}

// ask signs and sends a v2 request of which nothing is kept.
func (c *Client) ask(ctx context.Context, path string, appID pay.AppID, fields fieldsV2) (fieldsV2, Answer, error) {
	text, err := c.message(appID, fields)
	if err != nil {
		return nil, Answer{}, misuse("make request: %w", err)
	}
	return c.callV2(ctx, c.plain, path, fields, text)
}

// callV2 makes one call of protocol v2 and returns the elements of its verified
// answer.
func (c *Client) callV2(ctx context.Context, client *http.Client, path string, sent fieldsV2, text []byte) (fieldsV2, Answer, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, c.base+path, bytes.NewReader(text))
	if err != nil {
		return nil, Answer{}, misuse("make request: its address is not valid")
	}
	request.Header.Set("Content-Type", "text/xml; charset=utf-8")
	request.Header.Set("User-Agent", "fenflow")
	response, err := client.Do(request)
	if err != nil {
		return nil, Answer{}, &CallError{Class: ClassUnknown, Protocol: pay.ProtocolV2, err: transportError(err)}
	}
	defer func() { _ = response.Body.Close() }()
	body, err := io.ReadAll(response.Body)
	if err != nil { // the transport has read it already
		return nil, Answer{}, &CallError{Class: ClassUnknown, Protocol: pay.ProtocolV2, err: transportError(err)}
	}
	answer := c.answer(response, body)
	if response.StatusCode != http.StatusOK { // v2 answers 200, whatever it has to say
		return nil, Answer{}, &CallError{
			Class: classOf(response.StatusCode, ""), Protocol: pay.ProtocolV2, Status: response.StatusCode, RequestID: answer.RequestID,
			err: errors.New("no answer of protocol v2: something between us and WeChat Pay may have answered"),
		}
	}
	return c.openAnswerV2(answer, sent)
}

// openAnswerV2 verifies and reads an answer. One with return_code FAIL has no
// sign; any other is believed only if one of the APIv2 keys has signed it and
// it names our merchant.
func (c *Client) openAnswerV2(answer Answer, sent fieldsV2) (fieldsV2, Answer, error) {
	fields, rejected := parseXML(answer.Body, "xml")
	if rejected != nil {
		return nil, Answer{}, answer.unknown(fmt.Errorf("read answer: %w", rejected))
	}
	if fields["return_code"] == failV2 {
		return nil, Answer{}, answer.unsignedRefusal(fields)
	}
	if answer.KeyID, rejected = verifyV2(fields, c.cred.APIv2Keys); rejected != nil {
		return nil, Answer{}, answer.unknown(fmt.Errorf("verify answer: %w", rejected))
	}
	result, appID := fields["result_code"], fields["appid"]
	switch {
	case fields["return_code"] != successV2, result != successV2 && result != failV2:
		return nil, Answer{}, answer.unknown(errors.New("read answer: return_code or result_code says neither SUCCESS nor FAIL"))
	case fields["mch_id"] != sent["mch_id"], appID != sent["appid"] && (appID != "" || result == successV2):
		return nil, Answer{}, answer.unknown(errors.New("read answer: it is about another merchant or appid"))
	case result == failV2:
		return nil, answer, answer.signedRefusal(fields)
	}
	return fields, answer, nil
}

// signedRefusal is a refusal by the business, which err_code names.
func (a Answer) signedRefusal(fields fieldsV2) *CallError {
	e := a.refusalV2(fields["err_code"], fields["err_code_des"])
	e.Verified = true
	if class, known := classOfCode(e.Code); known {
		e.Class = class
	}
	return e
}

// unsignedRefusal is one of what was not understood or not believed: mostly our
// key or configuration. Nobody signed it, so it is never final.
func (a Answer) unsignedRefusal(fields fieldsV2) *CallError {
	e := a.refusalV2(fields["err_code"], fields["return_msg"])
	e.Class = ClassConfig
	if class, known := classOfCode(e.Code); known && class == ClassRetry {
		e.Class = ClassRetry
	}
	e.err = errors.New("return_code is FAIL, which nobody signs: look at the APIv2 key, the appid and the client certificate")
	return e
}

func (a Answer) refusalV2(code, message string) *CallError {
	return &CallError{
		Class: ClassQueryFirst, Protocol: pay.ProtocolV2, Status: http.StatusOK, RequestID: a.RequestID,
		Code: shaped(code, maxCodeBytes), Message: forPeople(message, ""),
	}
}

// about holds an answer against what was asked.
func (f fieldsV2) about(sent fieldsV2, names ...string) error {
	for _, name := range names {
		if f[name] == "" || f[name] != sent[name] {
			return fmt.Errorf("read answer: its %s is not the one that was asked about", name)
		}
	}
	return nil
}
