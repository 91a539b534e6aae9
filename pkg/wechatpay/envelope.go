package wechatpay

import (
	"time"

	"github.com/fenflow/fenflow/pkg/pay"
)

// The headers that carry a v3 signature (WeChat Pay doc 4013053249).
const (
	HeaderTimestamp     = "Wechatpay-Timestamp"
	HeaderNonce         = "Wechatpay-Nonce"
	HeaderSignature     = "Wechatpay-Signature"
	HeaderSerial        = "Wechatpay-Serial"
	HeaderSignatureType = "Wechatpay-Signature-Type"
)

// SignatureHeaders lists the five in the order in which they are stored.
func SignatureHeaders() []string {
	return []string{HeaderTimestamp, HeaderNonce, HeaderSignature, HeaderSerial, HeaderSignatureType}
}

// Envelope is one notification exactly as it arrived: bytes and headers,
// nothing believed. Every copy, redelivery and replay is this value.
type Envelope struct {
	DeliveryID  pay.DeliveryID // UUIDv7 given on arrival
	MchID       pay.MchID      // from the path; nothing else names the merchant before verification
	Kind        pay.DeliveryKind
	ReceivedAt  time.Time
	Headers     map[string]string // of SignatureHeaders, those that were there, canonical names
	Body        []byte
	TraceParent string // W3C trace context, may be empty
}

// Arrival is an envelope as the bus hands it to a worker.
type Arrival struct {
	Envelope Envelope
	Position pay.Position
	// Deliveries counts how often the broker handed out the pack that holds
	// it, from 1. A high number means that some envelope in the pack kills
	// whoever touches it.
	Deliveries int
	// Unreadable says why the bus could not read the envelope; empty for one
	// that it could. Envelope.Body then holds the bytes as they were stored,
	// Kind and MchID are empty, and the delivery id is derived from the
	// position, so that redeliveries become the same letter (malformed).
	Unreadable string
}

// StoredPack is a message of the bus with the arrivals in it, and when the broker
// stored it.
type StoredPack struct {
	Sequence uint64
	StoredAt time.Time
	Arrivals []Arrival
}

// Rejected is a sample of what the edge turned away, for operators.
type Rejected struct {
	Envelope Envelope
	Reason   string
	Detail   string
}

// Sample is a rejected envelope as the bus keeps it.
type Sample struct {
	Rejected

	Sequence   uint64 // its number; a stream that is made anew begins again at 1
	StoredAt   time.Time
	Unreadable string // why it cannot be read; empty for one that can
}
