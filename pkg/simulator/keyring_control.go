package simulator

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"time"
)

// KeyReport says which keys there are and which of them sign.
type KeyReport struct {
	Keys    KeySet  `json:"keys"`
	KeyMode KeyMode `json:"key_mode"`
	// PublicKeyID is empty until the merchant has a public key.
	PublicKeyID  string              `json:"public_key_id,omitempty"`
	Switch       SwitchReport        `json:"switch"`
	Certificates []CertificateReport `json:"certificates"`
}

// SwitchReport is the grey switch from certificates to the public key.
type SwitchReport struct {
	Phase string `json:"phase"` // none, running, paused or rolled_back
	// Day is 1 to 7 while a switch is on; beyond the seventh it stays 7.
	Day int `json:"day,omitempty"`
	// PublicKeyShare of notifications is signed by the public key.
	PublicKeyShare float64 `json:"public_key_share"`
}

// CertificateReport is a platform certificate that has not expired.
type CertificateReport struct {
	SerialNo    string    `json:"serial_no"`
	EffectiveAt time.Time `json:"effective_at"`
	ExpiresAt   time.Time `json:"expires_at"`
	Signs       bool      `json:"signs"`
}

// Keys says which keys there are and which of them sign.
func (s *Simulator) Keys() KeyReport { return s.signers.keyring.report() }

// ActOnKeys takes an action; an error says why it cannot be taken now.
func (s *Simulator) ActOnKeys(action KeyAction) (KeyReport, error) {
	err := s.signers.keyring.act(action, s.books.keyEvent)
	if err == nil {
		s.log.Info("keys changed", "action", action)
	}
	return s.Keys(), err
}

func (k *keyring) report() KeyReport {
	k.mu.Lock()
	defer k.mu.Unlock()
	now := k.now()
	r := KeyReport{Keys: k.keys, KeyMode: k.mode, Certificates: []CertificateReport{},
		Switch: SwitchReport{Phase: string(k.phase), PublicKeyShare: k.publicShare(now)}}
	if k.keys != KeysPlatformCertificate {
		r.PublicKeyID = k.publicKey.serial
	}
	if k.phase == switchRunning || k.phase == switchPaused {
		r.Switch.Day = min(int(k.running(now)/day)+1, len(switchShares()))
	}
	if k.keys == KeysPublicKey {
		return r
	}
	for _, c := range k.valid(now) {
		r.Certificates = append(r.Certificates, CertificateReport{c.serial, c.effective.UTC(), c.expires.UTC(), !now.Before(c.signsFrom)})
	}
	return r
}

func (b *books) keyEvent(e keyEvent) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.record(entry{Keys: &e})
}

func (s *Simulator) controlKeys(w http.ResponseWriter, _ *http.Request) {
	writeJSON(w, http.StatusOK, s.Keys())
}

func (s *Simulator) controlActOnKeys(w http.ResponseWriter, r *http.Request) {
	var request struct {
		Action KeyAction `json:"action"`
	}
	decoder := json.NewDecoder(http.MaxBytesReader(w, r.Body, maxRequestBytes))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&request); err != nil {
		writeControlError(w, http.StatusBadRequest, err, nil)
		return
	}
	report, err := s.ActOnKeys(request.Action)
	switch {
	case errors.Is(err, errKeyAction):
		writeControlError(w, http.StatusConflict, err, nil)
	case err != nil:
		writeControlError(w, http.StatusBadRequest, err, nil)
	default:
		writeJSON(w, http.StatusOK, report)
	}
}

// platformCertificates answers with the certificates under the APIv3 key. The
// algorithm may be asked for, as long as RSA is among it.
func (s *Simulator) platformCertificates(c *call) (reply, error) {
	if query := c.request.URL.RawQuery; query != "" && query != "algorithm_type=RSA" && query != "algorithm_type=ALL" {
		return reply{}, requestError("query", "algorithm_type must be RSA or ALL here")
	}
	listed := s.signers.keyring.listed()
	if len(listed) == 0 {
		return reply{}, &refusal{status: http.StatusNotFound, code: "RESOURCE_NOT_EXISTS",
			message: "无可用的平台证书，请在商户平台-API安全申请使用微信支付公钥。"}
	}
	data := make([]map[string]any, 0, len(listed))
	for _, certificate := range listed {
		secret, err := s.signers.encrypt(certificate.pem, "certificate")
		if err != nil {
			return reply{}, fmt.Errorf("encrypt platform certificate: %w", err)
		}
		data = append(data, map[string]any{"serial_no": certificate.serial, "encrypt_certificate": secret,
			"effective_time": wireTime(certificate.effective), "expire_time": wireTime(certificate.expires)})
	}
	return reply{http.StatusOK, map[string]any{"data": data}}, nil
}
