package keycheck

import "time"

// The kinds of keys.
const (
	KindPublicKey   = "public_key"           // WeChat Pay's public key of the merchant
	KindCertificate = "platform_certificate" // WeChat Pay's, fetched by the worker
	KindAPIv2       = "api_v2_key"           // shared, of protocol v2
)

// The states of keys.
const (
	StateCurrent = "current"
	StateRetired = "retired" // expired; it verifies what came while it was valid
	StateLater   = "later"   // not valid yet
)

// Key is one that verifies messages of WeChat Pay.
type Key struct {
	ID        string    `json:"key_id"` // PUB_KEY_ID_…, a serial, or apiv2#1 for the first shared key
	Kind      string    `json:"kind"`
	State     string    `json:"state"`
	ExpiresAt time.Time `json:"expires_at,omitzero"` // of certificates
	DaysLeft  *int      `json:"days_left,omitempty"`
}

// UsedKey is a key and what it did to the traffic.
type UsedKey struct {
	Key

	Verified       int       `json:"verified"`
	LastVerifiedAt time.Time `json:"last_verified_at,omitzero"` // when the latest that it verified was received
}

// Certificate is the merchant's own, which signs our calls.
type Certificate struct {
	Serial    string    `json:"serial"`
	ExpiresAt time.Time `json:"expires_at,omitzero"` // where the certificate is configured
	DaysLeft  *int      `json:"days_left,omitempty"`
}

// Expiry is what of a merchant expires first. A certificate that has a
// successor does not count.
type Expiry struct {
	What      string    `json:"what"` // platform_certificate or api_certificate
	ID        string    `json:"id"`
	ExpiresAt time.Time `json:"expires_at"`
	DaysLeft  int       `json:"days_left"`
}

// App is where the merchant takes payments.
type App struct {
	AppID string `json:"appid"`
	Kind  string `json:"kind"`
}

// Merchant is a merchant and its keys, without any secret.
type Merchant struct {
	MchID       string       `json:"mchid"`
	Name        string       `json:"name,omitempty"`
	Protocol    string       `json:"protocol"`
	Apps        []App        `json:"apps"`
	Keys        []Key        `json:"keys"`
	Certificate *Certificate `json:"api_certificate,omitempty"`
	Expires     *Expiry      `json:"expires,omitempty"`
	Missing     []string     `json:"missing"` // what it lacks, in words
}

// Report is what a check found.
type Report struct {
	OK        bool       `json:"ok"`
	At        time.Time  `json:"at"`
	Merchant  Merchant   `json:"merchant"`
	Asked     int        `json:"asked"`               // so many notifications were to be looked at
	Looked    int        `json:"looked"`              // so many were
	OldestAt  time.Time  `json:"oldest_at,omitzero"`  // received
	NewestAt  time.Time  `json:"newest_at,omitzero"`  // received
	Cut       bool       `json:"cut,omitempty"`       // there was no time for more
	Failed    int        `json:"failed"`              // that do not verify or decrypt now
	Failures  []Failure  `json:"failures"`            // of them, the latest
	Keys      []UsedKey  `json:"keys"`                // those there are, and what each verified
	Ciphers   []Cipher   `json:"ciphers"`             // the keys that decrypt, by their place
	Modes     []Mode     `json:"modes"`               // the two kinds of keys of protocol v3
	BothPass  bool       `json:"both_modes_pass"`     // a notification would be verified whichever kind WeChat Pay signs with
	Rehearsal *Rehearsal `json:"rehearsal,omitempty"` // what was asked for
	Live      *Live      `json:"live,omitempty"`      // the call, if one was asked for
	Findings  []Finding  `json:"findings"`
}

// Failure is a stored notification that would not get in now.
type Failure struct {
	DeliveryID string    `json:"delivery_id"`
	ReceivedAt time.Time `json:"received_at"`
	KeyID      string    `json:"key_id,omitempty"` // that it names
	Reason     string    `json:"reason"`
	Detail     string    `json:"detail"`
}

// Cipher is a shared key that decrypts, named by its place in the configuration.
type Cipher struct {
	Setting   string    `json:"setting"` // api_v3_key_files or api_v2_key_files
	Place     int       `json:"place"`   // from 1, which is the current one
	Decrypted int       `json:"decrypted"`
	LastAt    time.Time `json:"last_at,omitzero"`
}

// Mode is one of the two kinds of keys that WeChat Pay signs with.
type Mode struct {
	Mode           string    `json:"mode"`
	Ready          bool      `json:"ready"` // there is a key of this kind that is valid now
	Verified       int       `json:"verified"`
	LastVerifiedAt time.Time `json:"last_verified_at,omitzero"`
	Alone          Outcome   `json:"alone"` // the same traffic with no other kind of key
}

// Outcome is what became of the traffic of protocol v3 in a rehearsal.
type Outcome struct {
	Passed        int      `json:"passed"`
	Failed        int      `json:"failed"`
	LatestFailure *Failure `json:"latest_failure,omitempty"`
}

// Rehearsal is the change that was asked for.
type Rehearsal struct {
	Without string `json:"without,omitempty"`
	Only    string `json:"only,omitempty"`
	With    string `json:"with,omitempty"`
	Outcome

	Samples     int `json:"samples,omitempty"`      // that were turned away and name the new key
	SamplesPass int `json:"samples_pass,omitempty"` // of them, those it verifies
}

// Live is one call to WeChat Pay, signed with the merchant's own key.
type Live struct {
	Accepted     bool   `json:"accepted"`
	Verified     bool   `json:"verified"`                // the answer was signed, and rightly
	AnsweredWith string `json:"answered_with,omitempty"` // the key that signed the answer
	RequestID    string `json:"request_id,omitempty"`
	Detail       string `json:"detail"`

	away bool // WeChat Pay gave no answer, which says nothing about the keys
}

// The levels of findings.
const (
	LevelOK   = "ok"
	LevelNote = "note" // good to know
	LevelFail = "fail"
)

// Finding is one thing that follows, with what to do.
type Finding struct {
	Check string `json:"check"` // traffic, decryption, keys, expiry, modes, rehearsal or live
	Level string `json:"level"`
	Text  string `json:"text"`
	Fix   string `json:"fix,omitempty"`
}

func allRight(findings []Finding) bool {
	for _, f := range findings {
		if f.Level == LevelFail {
			return false
		}
	}
	return true
}
