package simulator

import (
	"encoding/json"
	"fmt"
	"net/http"
)

// longestEcho keeps an echoed text small enough to be encrypted again: OAEP with
// SHA-1 leaves 214 bytes of a 2048-bit key.
const longestEcho = 214

type echoRequest struct {
	NotifyURL string `json:"notify_url"`
	Message   string `json:"echo_message"`
	Data      string `json:"data"`
	Secret    string `json:"encrypted_echo_message"`
}

// echo lets a merchant try its keys: it answers what it was sent, the encrypted text
// encrypted for the merchant, and posts the same to notify_url if there is one
// (WeChat Pay docs 4014551946, 4015164042).
func (s *Simulator) echo() endpoint {
	rules := []rule{
		{name: "notify_url", kind: text, min: 1, max: 255, issue: s.notifyURLIssue},
		{name: "echo_message", kind: text, min: 1, max: 1024},
		// The name in requests signed by integrators' connectivity checks; which of
		// the two a merchant of today must send is not settled, so either will do.
		{name: "data", kind: text, min: 1, max: 1024},
		{name: "encrypted_echo_message", kind: text, min: 1, max: 1024},
	}
	return func(c *call) (reply, error) {
		if _, refused := parseStrict(c.body, rules); refused != nil {
			return reply{}, refused
		}
		var request echoRequest
		if err := json.Unmarshal(c.body, &request); err != nil {
			return reply{}, fmt.Errorf("decode checked body: %w", err)
		}
		if (request.Message == "") == (request.Data == "") {
			return reply{}, paramError("#/properties/echo_message", "must be there, or data in its place")
		}
		answer := map[string]string{}
		if request.Message != "" {
			answer["echo_message"] = request.Message
		} else {
			answer["data"] = request.Data
		}
		plain := ""
		if request.Secret != "" {
			text, refused := s.openSensitive(c, "encrypted_echo_message", request.Secret)
			if refused != nil {
				return reply{}, refused
			}
			if len(text) > longestEcho {
				return reply{}, paramError("#/properties/encrypted_echo_message", "is longer than 214 bytes once decrypted")
			}
			secret, err := s.signers.sealSensitive(text)
			if err != nil {
				return reply{}, err
			}
			plain, answer["encrypted_echo_message"] = text, secret
		}
		return reply{http.StatusOK, answer}, s.postEcho(request, plain)
	}
}

// postEcho notifies of an echo as of a payment: signed, encrypted, retried.
func (s *Simulator) postEcho(r echoRequest, plain string) error {
	if r.NotifyURL == "" {
		return nil
	}
	fields := map[string]string{"echo_message": r.Message + r.Data}
	if plain != "" {
		secret, err := s.signers.sealSensitive(plain)
		if err != nil {
			return err
		}
		fields["encrypt_echo_message"] = secret
	}
	resource, err := json.Marshal(fields)
	if err != nil {
		return fmt.Errorf("encode echo: %w", err)
	}
	id, err := s.random.noticeID()
	if err != nil {
		return err
	}
	now := s.now().UTC()
	body, err := s.signers.envelope(id, "SECURITY_ECHO.SUCCESS", "security", "安全探测成功", resource, now)
	if err != nil {
		return err
	}
	notices := []Notice{{ID: id, Protocol: ProtocolV3, Kind: Genuine, URL: r.NotifyURL, Body: string(body), CreatedAt: now}}
	if err := s.books.enterNotices(notices); err != nil {
		return fmt.Errorf("enter notice: %w", err)
	}
	s.post.dispatch(notices)
	return nil
}
