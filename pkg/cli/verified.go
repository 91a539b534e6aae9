package cli

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/fenflow/fenflow/pkg/pay"
	"github.com/fenflow/fenflow/pkg/wechatpay"
)

// verified is the document of --json.
type verified struct {
	OK         bool         `json:"ok"`
	MchID      string       `json:"mchid"`
	Kind       string       `json:"kind"`
	Protocol   string       `json:"protocol,omitempty"`
	KeyID      string       `json:"key_id,omitempty"`    // that verified it
	NamesKey   string       `json:"names_key,omitempty"` // that the message names
	SignedAt   time.Time    `json:"signed_at,omitzero"`
	ReceivedAt time.Time    `json:"received_at,omitzero"`
	ReceivedBy string       `json:"received_at_from,omitempty"`
	Reason     string       `json:"reason,omitempty"`
	Detail     string       `json:"detail,omitempty"`
	Signed     *signedText  `json:"signed_message,omitempty"`
	Decrypts   *decryptedBy `json:"decrypted_with,omitempty"`
	Undecoded  string       `json:"not_decrypted,omitempty"`
	Resource   string       `json:"resource,omitempty"` // with --decrypt: the buyer's data
	Note       string       `json:"note,omitempty"`
	onlyTime   bool
}

type signedText struct {
	Begins string `json:"begins"` // its first two lines: time and nonce
	Bytes  int    `json:"bytes"`
	SHA256 string `json:"sha256"`
}

type decryptedBy struct {
	Setting string `json:"setting"`
	Place   int    `json:"place"`
}

// describe tells what was signed, and which key decrypts.
func (v *verified) describe(i wechatpay.Inspection) {
	if len(i.Message) > 0 {
		sum := sha256.Sum256(i.Message)
		begins := strings.SplitN(string(i.Message), "\n", 3)
		v.Signed = &signedText{Begins: strings.Join(begins[:2], "\n") + "\n", Bytes: len(i.Message), SHA256: hex.EncodeToString(sum[:])}
	}
	switch {
	case i.Place > 0 && i.Protocol == pay.ProtocolV2:
		v.Decrypts = &decryptedBy{"api_v2_key_files", i.Place}
	case i.Place > 0:
		v.Decrypts = &decryptedBy{"api_v3_key_files", i.Place}
	case i.Undeciphered != nil:
		v.Undecoded = i.Undeciphered.Detail
	}
}

func (c *commandLine) verifiedText(v *verified) string {
	verdict := "right"
	switch {
	case v.KeyID != "" && v.Kind == string(pay.DeliveryNotifyV2Refund):
		verdict = "none: nobody signs refund notices of v2; it decrypts, and is taken for a hint"
	case v.KeyID == "" && v.onlyTime:
		verdict = "right, but its time is not"
	case v.KeyID == "":
		verdict = "wrong"
	}
	signed, decrypts := cell{}, v.Undecoded
	if s := v.Signed; s != nil {
		signed = cell{strconv.Itoa(s.Bytes) + " bytes: time, nonce and body, a line feed after each", "SHA-256 " + s.SHA256, "it begins " + strconv.Quote(s.Begins)}
	}
	if d := v.Decrypts; d != nil {
		decrypts = fmt.Sprintf("with key %d of %s", d.Place, d.Setting)
	}
	conclusion := "it would get in"
	if !v.OK {
		conclusion = "it would not get in: " + v.Reason + ": " + v.Detail
	}
	said := c.facts(
		fact("message", v.Kind, "merchant "+v.MchID),
		fact("signature", verdict),
		fact("key", v.KeyID),
		fact("names key", named(v)),
		fact("signed", stamped(v.SignedAt)),
		fact("received", stamped(v.ReceivedAt), sayReceipt(v)),
		[]cell{{"what is signed"}, signed},
		fact("decrypts", decrypts),
		fact("note", v.Note),
		fact("verdict", conclusion),
	)
	if v.Resource != "" {
		said += "\n" + c.bytesText([]byte(v.Resource))
		if !strings.HasSuffix(said, "\n") {
			said += "\n"
		}
	}
	return said
}

// named is the key that a message names, where it is not the one that verified it.
func named(v *verified) string {
	if v.NamesKey == v.KeyID {
		return ""
	}
	return v.NamesKey
}

func stamped(at time.Time) string {
	if at.IsZero() {
		return ""
	}
	return instant(at) + " (" + strconv.FormatInt(at.Unix(), 10) + ")"
}

func sayReceipt(v *verified) string {
	switch {
	case v.ReceivedAt.IsZero():
		return ""
	case v.ReceivedBy == fromSignature:
		return "as of its signature: nothing else says when it came"
	}
	off := v.ReceivedAt.Sub(v.SignedAt).Round(time.Second)
	if v.SignedAt.IsZero() {
		return "from " + v.ReceivedBy
	}
	return fmt.Sprintf("from %s: %s after it was signed", v.ReceivedBy, off)
}
