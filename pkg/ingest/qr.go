package ingest

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"

	"github.com/fenflow/fenflow/pkg/httpedge"
	"github.com/fenflow/fenflow/pkg/pay"
	"github.com/fenflow/fenflow/pkg/problem"
	"github.com/fenflow/fenflow/pkg/wechatpay"
)

// codeAnswer is an order with its code as a worker tells of it.
type codeAnswer struct {
	State string              `json:"state"`
	Pay   wechatpay.ClientPay `json:"pay"`
}

// readSVG shows a Native order's code as a drawing.
func (h *APIHandler) readSVG(w http.ResponseWriter, r *http.Request, from shop) error {
	native, err := h.nativeOf(r, from)
	if err != nil {
		return err
	}
	httpedge.WriteBody(w, http.StatusOK, "image/svg+xml", []byte(native.QRSVG))
	return nil
}

// readPNG shows it as a picture.
func (h *APIHandler) readPNG(w http.ResponseWriter, r *http.Request, from shop) error {
	native, err := h.nativeOf(r, from)
	if err != nil {
		return err
	}
	encoded, found := strings.CutPrefix(native.QRPNG, wechatpay.PNGPrefix)
	picture, err := base64.StdEncoding.DecodeString(encoded)
	if !found || err != nil {
		return problem.Wrap(problem.Internal, errors.New("a worker answered with a picture that cannot be read"), "")
	}
	httpedge.WriteBody(w, http.StatusOK, "image/png", picture)
	return nil
}

// nativeOf asks for an order and takes its code, if it has one that can be paid.
func (h *APIHandler) nativeOf(r *http.Request, from shop) (wechatpay.NativeParams, error) {
	no, err := pathOutTradeNo(r)
	if err != nil {
		return wechatpay.NativeParams{}, err
	}
	raw, err := h.ask(r, subjectReadOrder, map[string]string{"mchid": string(from.MchID), "out_trade_no": string(no)})
	if err != nil {
		return wechatpay.NativeParams{}, err
	}
	body, err := problem.ReadAnswer(raw)
	if err != nil {
		return wechatpay.NativeParams{}, err //nolint:wrapcheck // it is a problem
	}
	var order codeAnswer
	if err := json.Unmarshal(body, &order); err != nil {
		return wechatpay.NativeParams{}, problem.Wrap(problem.Internal, fmt.Errorf("read an order: %w", err), "")
	}
	if order.Pay.Native == nil {
		return wechatpay.NativeParams{}, noCode(no, order)
	}
	return *order.Pay.Native, nil
}

func noCode(no pay.OutTradeNo, order codeAnswer) *problem.Error {
	switch {
	case order.Pay.Client != "":
		return problem.Newf(problem.NoQRCode, "order %s is of client %s", no, order.Pay.Client)
	case order.State != string(pay.OrderAwaitingPayment):
		return problem.Newf(problem.NoQRCode, "order %s is %s", no, order.State)
	}
	return problem.Newf(problem.NoQRCode, "what order %s could be paid with has run out", no)
}
