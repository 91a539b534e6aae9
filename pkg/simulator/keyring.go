package simulator

import (
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"
)

// KeySet says which kinds of WeChat Pay keys the merchant has.
type KeySet string

// Merchants of before the autumn of 2024 have platform certificates, later ones only
// a public key, and those that switch have both for a while.
const (
	KeysBoth                KeySet = "both"
	KeysPublicKey           KeySet = "public_key"
	KeysPlatformCertificate KeySet = "platform_certificate"
)

// KeyAction is what an operator does in the merchant console, or WeChat Pay with
// its certificates.
type KeyAction string

// The actions. Start also goes on after a pause; roll back returns every notice to
// the certificate; drop leaves the merchant without platform certificates for good.
const (
	KeyStartSwitch KeyAction = "start_switch"
	KeyPause       KeyAction = "pause"
	KeyRollBack    KeyAction = "roll_back"
	KeyRotate      KeyAction = "rotate_certificate"
	KeyDrop        KeyAction = "drop_certificates"
)

// Times of a rotation: the new certificate appears ten days before the old one
// expires, and in the last five either may sign (WeChat Pay doc 4012068829).
const (
	day            = 24 * time.Hour
	rotationNotice = 10 * day
	rotationEither = 5 * day
)

// switchShares are the shares of callbacks that the public key signs on each day of
// a grey switch (community/pay/doc/0008ce1ea905609afef23aa2a66000).
func switchShares() []float64 { return []float64{0.001, 0.01, 0.05, 0.10, 0.20, 0.50, 1} }

// switchPhase is how far a grey switch is.
type switchPhase string

const (
	switchNone       switchPhase = "none"
	switchRunning    switchPhase = "running"
	switchPaused     switchPhase = "paused"
	switchRolledBack switchPhase = "rolled_back"
)

// keyEvent is an action as the journal keeps it.
type keyEvent struct {
	Action KeyAction `json:"action"`
	At     time.Time `json:"at"`
	// Elapsed is what the switch has behind it, on the clock that Speed compresses.
	Elapsed time.Duration `json:"elapsed,omitempty"`
	// Certificate and Key are the new platform certificate of a rotation, in PEM.
	Certificate string `json:"certificate,omitempty"`
	Key         string `json:"key,omitempty"`
}

// platformCertificate is one that the platform has signed with or will sign with.
type platformCertificate struct {
	stampKey

	pem       []byte
	effective time.Time
	expires   time.Time
	signsFrom time.Time // zero: always
}

// keyring decides which key signs what, and when.
type keyring struct {
	mode      KeyMode
	publicKey stampKey
	speed     float64
	now       func() time.Time

	mu           sync.Mutex
	keys         KeySet
	phase        switchPhase
	since        time.Time     // start of the running part of the switch
	elapsed      time.Duration // before since
	certificates []platformCertificate
	notices      share // of notices, for the public key
	// Of certificate signatures, for the newest: each kind takes turns by itself, or a
	// merchant whose calls and notices alternate would see only one key in each.
	rotatedNotices, rotatedAnswers share
}

// share spreads a fraction evenly and without chance: the running total reaches the
// next whole number just so often.
type share struct{ total float64 }

func (s *share) next(fraction float64) bool {
	s.total += fraction
	if s.total < 1 {
		return false
	}
	s.total--
	return true
}

// newKeyring folds the journal's events over what the merchant has from the start.
func newKeyring(o Options, events []keyEvent) (*keyring, error) {
	m := o.Merchant
	certificate, err := parseCertificate(m.PlatformCertificate)
	if err != nil {
		return nil, fmt.Errorf("read platform certificate: %w", err)
	}
	k := &keyring{
		mode: o.KeyMode, keys: o.Keys, speed: o.Speed, now: o.Now, phase: switchNone,
		publicKey: stampKey{m.PublicKeyID, m.WechatpayKey},
		notices:   share{0.5}, rotatedNotices: share{0.5}, rotatedAnswers: share{0.5}, // halves begin with the new key
		certificates: []platformCertificate{{stampKey: stampKey{m.PlatformSerial, m.PlatformKey},
			pem: m.PlatformCertificate, effective: certificate.NotBefore, expires: certificate.NotAfter}},
	}
	for _, e := range events {
		if err := k.apply(e); err != nil {
			return nil, fmt.Errorf("apply %s: %w", e.Action, err)
		}
	}
	return k, nil
}

func (k *keyring) apply(e keyEvent) error {
	switch e.Action {
	case KeyStartSwitch:
		k.phase, k.since, k.elapsed = switchRunning, e.At, e.Elapsed
		if k.keys == KeysPlatformCertificate {
			k.keys = KeysBoth // the console asks for a public key first
		}
	case KeyPause:
		k.phase, k.elapsed = switchPaused, e.Elapsed
	case KeyRollBack:
		k.phase, k.elapsed = switchRolledBack, 0
	case KeyDrop:
		k.keys = KeysPublicKey
	case KeyRotate:
		return k.rotate(e)
	}
	return nil
}

func (k *keyring) rotate(e keyEvent) error {
	key, err := parsePrivatePEM([]byte(e.Key))
	if err != nil {
		return err
	}
	certificate, err := parseCertificate([]byte(e.Certificate))
	if err != nil {
		return err
	}
	old := &k.certificates[len(k.certificates)-1]
	old.expires = e.At.Add(k.shortened(rotationNotice))
	k.certificates = append(k.certificates, platformCertificate{
		stampKey: stampKey{strings.ToUpper(certificate.SerialNumber.Text(16)), key}, pem: []byte(e.Certificate),
		effective: e.At, expires: certificate.NotAfter, signsFrom: e.At.Add(k.shortened(rotationNotice - rotationEither)),
	})
	return nil
}

func (k *keyring) shortened(d time.Duration) time.Duration {
	return time.Duration(float64(d) / k.speed)
}

// valid are the certificates that have not expired. The lock must be held.
func (k *keyring) valid(now time.Time) []platformCertificate {
	first := 0
	for first < len(k.certificates)-1 && !now.Before(k.certificates[first].expires) {
		first++
	}
	return k.certificates[first:]
}

// running is how long the switch has been running, on its own clock.
func (k *keyring) running(now time.Time) time.Duration {
	if k.phase != switchRunning {
		return k.elapsed
	}
	return k.elapsed + time.Duration(float64(now.Sub(k.since))*k.speed)
}

// publicShare is the share of notices that the public key signs.
func (k *keyring) publicShare(now time.Time) float64 {
	switch {
	case k.keys == KeysPublicKey:
		return 1
	case k.phase == switchRunning || k.phase == switchPaused:
		shares := switchShares()
		return shares[min(int(k.running(now)/day), len(shares)-1)]
	case k.phase == switchRolledBack || k.keys == KeysPlatformCertificate || k.mode == KeyModePlatformCertificate:
		return 0
	case k.mode == KeyModePublicKey:
		return 1
	}
	return 0.5
}

// forNotice picks the key of the next notification.
func (k *keyring) forNotice() stampKey {
	k.mu.Lock()
	defer k.mu.Unlock()
	now := k.now()
	if k.notices.next(k.publicShare(now)) {
		return k.publicKey
	}
	return k.certificate(now, &k.rotatedNotices)
}

// forAnswer follows the request's Wechatpay-Serial (WeChat Pay doc 4012791882). Any
// serial that is no public key id gets a platform certificate, if there is one.
func (k *keyring) forAnswer(asked string) stampKey {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.keys == KeysPublicKey || strings.HasPrefix(asked, publicKeyPrefix) && k.keys != KeysPlatformCertificate {
		return k.publicKey
	}
	return k.certificate(k.now(), &k.rotatedAnswers)
}

// certificate picks among those that may sign now: during the overlap of a rotation
// the new one's share grows from nothing to all. The lock must be held.
func (k *keyring) certificate(now time.Time, turn *share) stampKey {
	valid := k.valid(now)
	newest := valid[len(valid)-1]
	if len(valid) == 1 {
		return newest.stampKey
	}
	old := valid[len(valid)-2]
	overlap := float64(old.expires.Sub(newest.signsFrom))
	if turn.next(max(0, float64(now.Sub(newest.signsFrom))/overlap)) {
		return newest.stampKey
	}
	return old.stampKey
}

// listed are the certificates that may be downloaded; none for a merchant without.
func (k *keyring) listed() []platformCertificate {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.keys == KeysPublicKey {
		return nil
	}
	return append([]platformCertificate(nil), k.valid(k.now())...)
}

// hasPublicKey says whether the merchant has asked for its public key.
func (k *keyring) hasPublicKey() bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.keys != KeysPlatformCertificate
}

// known are all keys that a merchant may hold now.
func (k *keyring) known() []stampKey {
	k.mu.Lock()
	defer k.mu.Unlock()
	var keys []stampKey
	if k.keys != KeysPlatformCertificate {
		keys = append(keys, k.publicKey)
	}
	if k.keys == KeysPublicKey {
		return keys
	}
	for _, certificate := range k.valid(k.now()) {
		keys = append(keys, certificate.stampKey)
	}
	return keys
}

// errKeyAction marks an action that does not fit the present state.
var errKeyAction = errors.New("not possible now")

// refusal says why an action cannot be taken. The lock must be held.
func (k *keyring) refusal(action KeyAction, now time.Time) error {
	why := ""
	switch action {
	case KeyStartSwitch:
		if k.phase == switchRunning {
			why = "the switch is running"
		}
	case KeyPause:
		if k.phase != switchRunning {
			why = "the switch is not running"
		}
	case KeyRollBack:
		if k.phase != switchRunning && k.phase != switchPaused {
			why = "no switch was started"
		}
	case KeyRotate:
		if len(k.valid(now)) > 1 {
			why = "a rotation is under way"
		}
	case KeyDrop:
	default:
		return fmt.Errorf("action must be %s, %s, %s, %s or %s", KeyStartSwitch, KeyPause, KeyRollBack, KeyRotate, KeyDrop)
	}
	if k.keys == KeysPublicKey {
		why = "the merchant has no platform certificates"
	}
	if why != "" {
		return fmt.Errorf("%w: %s", errKeyAction, why)
	}
	return nil
}

// act takes an action: checked, made into an event, written down by record, applied.
func (k *keyring) act(action KeyAction, record func(keyEvent) error) error {
	e, err := newKeyEvent(action, k.now())
	if err != nil {
		return err
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	e.At = k.now().UTC()
	if err := k.refusal(action, e.At); err != nil {
		return err
	}
	if action == KeyPause || k.phase == switchPaused {
		e.Elapsed = k.running(e.At)
	}
	if err := record(e); err != nil {
		return fmt.Errorf("record action: %w", err)
	}
	return k.apply(e)
}

// newKeyEvent makes the certificate of a rotation, which takes a while.
func newKeyEvent(action KeyAction, now time.Time) (keyEvent, error) {
	if action != KeyRotate {
		return keyEvent{Action: action}, nil
	}
	key, err := newPlatformKey()
	if err != nil {
		return keyEvent{}, fmt.Errorf("generate RSA key: %w", err)
	}
	_, certificate, err := selfSigned("Tenpay.com sign (simulated)", key, now)
	if err != nil {
		return keyEvent{}, err
	}
	private, err := privatePEM(key)
	return keyEvent{Action: action, Certificate: string(certificate), Key: string(private)}, err
}
