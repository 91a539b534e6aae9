package simulator_test

import (
	"crypto/hmac"
	"crypto/md5"
	"crypto/sha256"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"net/http"
	"sort"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/fenflow/fenflow/pkg/simulator"
)

func ackV2(w http.ResponseWriter, _ *http.Request) {
	_, _ = io.WriteString(w, `<xml><return_code><![CDATA[SUCCESS]]></return_code><return_msg><![CDATA[OK]]></return_msg></xml>`)
}

// v2Elements reads a v2 message token by token, without any code of the package.
func v2Elements(t *testing.T, body string) map[string]string {
	t.Helper()
	decoder, fields, name := xml.NewDecoder(strings.NewReader(body)), map[string]string{}, ""
	for {
		token, err := decoder.Token()
		if errors.Is(err, io.EOF) {
			return fields
		}
		require.NoError(t, err)
		switch token := token.(type) {
		case xml.StartElement:
			name = token.Name.Local
		case xml.CharData:
			fields[name] += string(token)
		}
	}
}

// v2Sign follows the documentation word by word.
func v2Sign(fields map[string]string, key string) string {
	var names []string
	for name, value := range fields {
		if value != "" && name != "sign" {
			names = append(names, name)
		}
	}
	sort.Strings(names)
	text := ""
	for _, name := range names {
		text += name + "=" + fields[name] + "&"
	}
	text += "key=" + key
	if fields["sign_type"] == "HMAC-SHA256" {
		mac := hmac.New(sha256.New, []byte(key))
		mac.Write([]byte(text))
		return fmt.Sprintf("%X", mac.Sum(nil))
	}
	return fmt.Sprintf("%X", md5.Sum([]byte(text)))
}

// v2HMAC signs with HMAC-SHA256 whatever sign_type says, leaving one element out.
func v2HMAC(fields map[string]string, key, without string) string {
	var names []string
	for name, value := range fields {
		if value != "" && name != "sign" && name != without {
			names = append(names, name)
		}
	}
	sort.Strings(names)
	text := ""
	for _, name := range names {
		text += name + "=" + fields[name] + "&"
	}
	mac := hmac.New(sha256.New, []byte(key))
	mac.Write([]byte(text + "key=" + key))
	return fmt.Sprintf("%X", mac.Sum(nil))
}

func TestV2Notifications(t *testing.T) {
	t.Parallel()
	for signType, length := range map[simulator.SignType]int{simulator.SignMD5: 32, simulator.SignHMAC: 64} {
		t.Run(string(signType), func(t *testing.T) {
			t.Parallel()
			b := newBench(t)
			shop := newReceiver(t, ackV2)
			_, _, err := b.jsapi(t).Prepay(t.Context(), b.jsapiRequest("order-1", b.notifyURL(shop)))
			require.NoError(t, err)
			payment, err := b.simulator.Pay("order-1", simulator.PayRequest{Notify: simulator.ProtocolV2, SignType: signType, CouponFen: 5, Duplicates: 1})
			require.NoError(t, err)
			require.Equal(t, 1, b.settled(t).Acknowledged)

			got := shop.all()
			require.Len(t, got, 2)
			require.Equal(t, "/notify/v2/"+b.merchant.Mchid+"/pay", got[0].path)
			require.Equal(t, got[0].body, got[1].body)
			fields := v2Elements(t, got[0].body)
			require.Len(t, fields["sign"], length)
			require.Equal(t, v2Sign(fields, b.merchant.APIv2Key), fields["sign"])
			require.Equal(t, []string{"100", "95", payment.TransactionID, "shelf <3>]]>&"},
				[]string{fields["total_fee"], fields["cash_fee"], fields["transaction_id"], fields["attach"]})
		})
	}
}

func TestV2WantsTheWordAndNotOnlyTheStatus(t *testing.T) {
	t.Parallel()
	b := newBench(t, func(o *simulator.Options) { o.Speed = 1e6 })
	shop := newReceiver(t, noContent)
	b.place(t, "order-1", b.notifyURL(shop))
	_, err := b.simulator.Pay("order-1", simulator.PayRequest{Notify: simulator.ProtocolV2})
	require.NoError(t, err)
	summary := b.settled(t)
	require.Equal(t, 1, summary.Abandoned)
	require.Zero(t, summary.Acknowledged)
	require.Len(t, shop.all(), 16)
}

func TestV2ForgeriesDoNotVerify(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	shop := newReceiver(t, func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusUnauthorized) })
	b.place(t, "order-1", "http://127.0.0.1:1/elsewhere")
	_, err := b.simulator.Pay("order-1", simulator.PayRequest{Notify: simulator.ProtocolV2})
	require.ErrorContains(t, err, "notify_url is needed")
	b.place(t, "order-2", b.notifyURL(shop))
	_, err = b.simulator.Pay("order-2", simulator.PayRequest{Notify: simulator.ProtocolV2, Forged: 3, NotifyURL: shop.url + "/v2"})
	require.NoError(t, err)
	require.Eventually(t, func() bool { return len(shop.all()) == 4 }, soon, tick)
	right := 0
	for _, r := range shop.all() {
		fields := v2Elements(t, r.body)
		if fields["sign"] == v2Sign(fields, b.merchant.APIv2Key) {
			right++
		}
	}
	require.Equal(t, 1, right, "only the genuine notice is signed right")
}
