package cli

import (
	"bytes"
	"encoding/json"
	"errors"
	"net/textproto"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/fenflow/fenflow/pkg/pay"
	"github.com/fenflow/fenflow/pkg/problem"
	"github.com/fenflow/fenflow/pkg/wechatpay"
)

// maxMessageFile is well above a body of 128 KiB in base64 with its headers.
const maxMessageFile = 1 << 20

const howToGiveAMessage = "Give a raw HTTP request (request line, headers, an empty line, the body as it came), or the JSON of `fenflow notification show ID --json`."

var (
	requestLineShape = regexp.MustCompile(`^[A-Z]{3,10} (\S+)(?: HTTP/[0-9.]+)?$`)
	notifyPathShape  = regexp.MustCompile(`/notify/(v3|v2)/([0-9]{8,32})(/pay|/refund)?/?$`)
	headerShape      = regexp.MustCompile(`^[!#-'*+.0-9A-Z^-z|~-]+:`)
)

// message is what a file holds. An instant of zero is not known.
type message struct {
	env  wechatpay.Envelope
	note string // what was left away to read it
}

// readMessage reads a file, or stdin for "-".
func (c *commandLine) readMessage(name string) (message, error) {
	raw, err := c.input("the message", name, maxMessageFile)
	if err != nil {
		return message{}, err
	}
	m, err := parseMessage(raw)
	if err != nil {
		e := problem.Newf(problem.Usage, "%s: %v", name, err)
		e.NextStep = howToGiveAMessage
		return m, e
	}
	return m, nil
}

func parseMessage(raw []byte) (message, error) {
	switch start := bytes.TrimSpace(raw); {
	case len(start) == 0:
		return message{}, errors.New("it is empty")
	case start[0] == '{':
		return parseDocument(raw)
	case start[0] == '<': // v2 signs in the body, and needs no headers
		return message{env: wechatpay.Envelope{Body: raw, Kind: kindOfBody(raw)}}, nil
	}
	return parseRequest(raw)
}

// parseDocument reads what `notification show`, `rejected show` and
// `dead-letter show` print with --json.
func parseDocument(raw []byte) (message, error) {
	var d struct {
		DeliveryID string            `json:"delivery_id"`
		MchID      string            `json:"mchid"`
		Kind       string            `json:"kind"`
		ReceivedAt time.Time         `json:"received_at"`
		Headers    map[string]string `json:"headers"`
		Body       []byte            `json:"body_base64"`
	}
	if err := json.Unmarshal(raw, &d); err != nil {
		return message{}, errors.New("it begins like JSON and cannot be read as such")
	}
	if d.Headers == nil || d.Body == nil {
		return message{}, errors.New("it is JSON without headers and body_base64: a body alone has no signature")
	}
	return message{env: wechatpay.Envelope{
		DeliveryID: pay.DeliveryID(d.DeliveryID), MchID: pay.MchID(d.MchID), Kind: pay.DeliveryKind(d.Kind), ReceivedAt: d.ReceivedAt.UTC(), Headers: d.Headers, Body: d.Body,
	}}, nil
}

// parseRequest reads a request as it was on the wire, or as people copy one:
// the request line may be missing, and lines may end without a carriage return.
func parseRequest(raw []byte) (message, error) {
	head, body, found := cutAtEmptyLine(raw)
	if !found {
		return message{}, errors.New("no empty line divides headers and body")
	}
	m := message{env: wechatpay.Envelope{Headers: map[string]string{}, Body: body}}
	length := -1
	for i, line := range strings.Split(strings.ReplaceAll(head, "\r\n", "\n"), "\n") {
		if request := requestLineShape.FindStringSubmatch(line); i == 0 && request != nil {
			m.pathIs(request[1])
			continue
		}
		if !headerShape.MatchString(line) {
			return message{}, errors.New("line " + strconv.Itoa(i+1) + " is no header")
		}
		name, value, _ := strings.Cut(line, ":")
		name, value = textproto.CanonicalMIMEHeaderKey(name), strings.TrimSpace(value)
		if name == "Content-Length" {
			length, _ = strconv.Atoi(value)
		}
		if strings.HasPrefix(name, "Wechatpay-") {
			if _, twice := m.env.Headers[name]; twice {
				return message{}, errors.New("header " + name + " is there more than once")
			}
			m.env.Headers[name] = value
		}
	}
	if length >= 0 && length < len(body) {
		m.env.Body, m.note = body[:length], strconv.Itoa(len(body)-length)+" bytes after the end that Content-Length names were left away"
	}
	if m.env.Kind == "" {
		m.env.Kind = kindOfBody(m.env.Body)
	}
	return m, nil
}

func cutAtEmptyLine(raw []byte) (head string, body []byte, found bool) {
	unix, dos := bytes.Index(raw, []byte("\n\n")), bytes.Index(raw, []byte("\r\n\r\n"))
	switch {
	case dos >= 0 && (unix < 0 || dos < unix):
		return string(raw[:dos]), raw[dos+4:], true
	case unix >= 0:
		return string(raw[:unix]), raw[unix+2:], true
	}
	return "", nil, false
}

// pathIs takes merchant and kind from where the message was posted to.
func (m *message) pathIs(path string) {
	path, _, _ = strings.Cut(path, "?")
	parts := notifyPathShape.FindStringSubmatch(path)
	if parts == nil {
		return
	}
	m.env.MchID = pay.MchID(parts[2])
	switch {
	case parts[1] == "v3" && parts[3] == "":
		m.env.Kind = pay.DeliveryNotifyV3
	case parts[1] == "v2" && parts[3] == "/refund":
		m.env.Kind = pay.DeliveryNotifyV2Refund
	case parts[1] == "v2":
		m.env.Kind = pay.DeliveryNotifyV2Pay
	}
}

// kindOfBody guesses where nothing else says.
func kindOfBody(body []byte) pay.DeliveryKind {
	switch {
	case !bytes.HasPrefix(bytes.TrimSpace(body), []byte("<")):
		return pay.DeliveryNotifyV3
	case bytes.Contains(body, []byte("<req_info>")):
		return pay.DeliveryNotifyV2Refund
	}
	return pay.DeliveryNotifyV2Pay
}
