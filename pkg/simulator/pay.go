package simulator

import (
	"cmp"
	"errors"
	"fmt"
	"strings"
	"time"
)

// maxRepeats bounds duplicates and forgeries of one payment.
const maxRepeats = 1000

// PayRequest says how an order is paid and what is posted about it. The zero value
// pays in full and posts one genuine v3 notice.
type PayRequest struct {
	// AmountFen is what the payment says the order's total was; nil is the truth.
	AmountFen     *int64   `json:"amount_fen,omitempty"`
	CouponFen     int64    `json:"coupon_fen,omitempty"`
	Openid        string   `json:"openid,omitempty"`
	TransactionID string   `json:"transaction_id,omitempty"`
	Notify        Protocol `json:"notify,omitempty"`
	SignType      SignType `json:"sign_type,omitempty"` // v2 only
	NotifyURL     string   `json:"notify_url,omitempty"`
	Duplicates    int      `json:"duplicates,omitempty"`
	Forged        int      `json:"forged,omitempty"`

	late bool // a fault lets a closed order be paid
}

// setDefaults follows the protocol that the order was made with.
func (r *PayRequest) setDefaults(o Order) {
	r.Notify = cmp.Or(r.Notify, o.Protocol, ProtocolV3)
	r.SignType = cmp.Or(r.SignType, o.SignType, SignMD5)
}

func (r *PayRequest) check(amountFen int64) error {
	var problems []error
	refuse := func(wrong bool, format string, args ...any) {
		if wrong {
			problems = append(problems, fmt.Errorf(format, args...))
		}
	}
	refuse(amountFen <= 0, "amount_fen must be positive")
	refuse(r.CouponFen < 0 || r.CouponFen > amountFen, "coupon_fen must be between 0 and the amount")
	refuse(r.Duplicates < 0 || r.Duplicates > maxRepeats, "duplicates must be between 0 and %d", maxRepeats)
	refuse(r.Forged < 0 || r.Forged > maxRepeats, "forged must be between 0 and %d", maxRepeats)
	refuse(r.Notify != ProtocolV3 && r.Notify != ProtocolV2 && r.Notify != ProtocolNone, "notify must be v3, v2 or none")
	refuse(r.SignType != SignMD5 && r.SignType != SignHMAC, "sign_type must be MD5 or HMAC-SHA256")
	if r.NotifyURL != "" {
		issue := notifyURLIssue(r.NotifyURL)
		refuse(issue != "", "notify_url %s", issue)
	}
	return errors.Join(problems...)
}

// errBadPayRequest marks what the caller of Pay got wrong.
var errBadPayRequest = errors.New("bad request")

// Pay pays an order as its user would, enters payment and notices in the ledger,
// and starts their delivery.
func (s *Simulator) Pay(outTradeNo string, r PayRequest) (Payment, error) {
	order, known := s.books.order(outTradeNo)
	if !known {
		return Payment{}, errUnknownOrder
	}
	r.setDefaults(order)
	at := s.now().UTC()
	payment, err := s.paymentOf(order, s.misprice(order, r, at), at)
	if err != nil {
		return Payment{}, err
	}
	payment.Late = s.late(order, r, at)
	if err := s.enter(order, payment, r); err != nil {
		return Payment{}, err
	}
	s.payAgain(order, r)
	return payment, nil
}

// enter writes a payment and its notices down and starts their delivery.
func (s *Simulator) enter(o Order, p Payment, r PayRequest) error {
	notices, err := s.noticesOf(o, p, r)
	if err != nil {
		return fmt.Errorf("write notices: %w", err)
	}
	if o.payable(p.PaidAt) || p.Late {
		notices, err = s.multiply(notices, func(n *Notice) error { return s.write(n, o, p, r.SignType) })
		if err != nil {
			return err
		}
	}
	if err := s.books.pay(p, notices); err != nil {
		return fmt.Errorf("enter payment: %w", err)
	}
	s.post.dispatch(notices)
	return nil
}

func (s *Simulator) paymentOf(o Order, r PayRequest, at time.Time) (Payment, error) {
	p := Payment{TransactionID: r.TransactionID, OutTradeNo: o.OutTradeNo, AmountFen: o.AmountFen,
		CouponFen: r.CouponFen, Openid: r.Openid, PaidAt: at}
	if r.AmountFen != nil {
		p.AmountFen = *r.AmountFen
	}
	if err := r.check(p.AmountFen); err != nil {
		return Payment{}, fmt.Errorf("%w: %w", errBadPayRequest, err)
	}
	p.PayerFen = p.AmountFen - p.CouponFen
	if p.Openid == "" {
		p.Openid = o.Openid
	}
	var err1, err2 error
	if p.Openid == "" {
		p.Openid, err1 = s.random.openid()
	}
	if p.TransactionID == "" {
		p.TransactionID, err2 = s.random.transactionID(at)
	}
	return p, errors.Join(err1, err2)
}

// noticesOf puts the forgeries first: who believes the first comer is found out.
func (s *Simulator) noticesOf(o Order, p Payment, r PayRequest) ([]Notice, error) {
	var notices []Notice
	template := Notice{OutTradeNo: o.OutTradeNo, Protocol: r.Notify, URL: r.NotifyURL, CreatedAt: p.PaidAt}
	if template.Protocol == ProtocolNone {
		template.Protocol = ProtocolV3 // of the forgeries; there is no genuine one
	}
	if template.URL == "" {
		url, err := s.noticeURL(o, template.Protocol)
		if err != nil {
			return nil, err
		}
		template.URL = url
	}
	for range r.Forged {
		kinds := Forgeries(template.Protocol)
		forged := template
		forged.Kind, forged.Forgery = Forged, kinds[int(s.forged.Add(1)-1)%len(kinds)]
		if err := s.write(&forged, o, p, r.SignType); err != nil {
			return nil, err
		}
		notices = append(notices, forged)
	}
	if r.Notify == ProtocolNone {
		return notices, nil
	}
	template.Kind, template.Duplicates = Genuine, r.Duplicates
	err := s.write(&template, o, p, r.SignType)
	return append(notices, template), err
}

// noticeURL derives the v2 address from the v3 one, unless the order is of v2 itself.
func (s *Simulator) noticeURL(o Order, p Protocol) (string, error) {
	if p != ProtocolV2 || o.Protocol == ProtocolV2 {
		return o.NotifyURL, nil
	}
	base, found := strings.CutSuffix(o.NotifyURL, "/notify/v3/"+s.merchant.Mchid)
	if !found {
		return "", fmt.Errorf("%w: notify_url is needed, as the order's does not end in /notify/v3/%s", errBadPayRequest, s.merchant.Mchid)
	}
	return base + "/notify/v2/" + s.merchant.Mchid + "/pay", nil
}

// write gives a notice its id and body.
func (s *Simulator) write(n *Notice, o Order, p Payment, signType SignType) error {
	id, err := s.random.noticeID()
	if err != nil {
		return err
	}
	if n.ID = id; n.Kind == Forged {
		if p, err = s.random.forgedPayment(p); err != nil {
			return err
		}
	}
	var body []byte
	if n.Protocol == ProtocolV2 {
		body, err = s.writeV2(n, o, p, signType)
	} else {
		body, err = s.signers.payNoticeV3(id, o, p)
	}
	n.Body = string(body)
	return err
}

func (s *Simulator) writeV2(n *Notice, o Order, p Payment, signType SignType) ([]byte, error) {
	fields, err := s.signers.payNoticeV2(o, p, signType)
	if err != nil {
		return nil, err
	}
	if n.Kind == Forged {
		return s.signers.forgedV2(fields, n.Forgery)
	}
	fields["sign"] = signV2(fields, s.merchant.APIv2Key, signType)
	return xmlOf(fields), nil
}

// Ledger says what really happened.
func (s *Simulator) Ledger() Ledger { return s.books.ledger(s.merchant.Mchid) }

// Order returns one order.
func (s *Simulator) Order(outTradeNo string) (Order, bool) { return s.books.order(outTradeNo) }

// Deliveries are all attempts about one order, or about any if outTradeNo is empty.
func (s *Simulator) Deliveries(outTradeNo string) []Attempt { return s.books.deliveries(outTradeNo) }

// Summary counts all deliveries.
func (s *Simulator) Summary() Summary { return s.books.summary() }
