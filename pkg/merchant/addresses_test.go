package merchant_test

import (
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/fenflow/fenflow/pkg/merchant"
)

func shopApp() merchant.App {
	return merchant.App{
		AppID: "wx8888888888888888", Kind: merchant.KindOfficialAccount,
		RedirectURLs: []string{"https://shop.example.com/buy/", "https://shop.example.com/pay", "http://127.0.0.1:8090", "https://open.example.com:8443/"},
		JSDomains:    []string{"shop.example.com", "m.example.com:8443"},
	}
}

func TestMayReturnTo_takes_pages_below_an_allowed_address(t *testing.T) {
	t.Parallel()
	for _, address := range []string{
		"https://shop.example.com/buy/", "https://shop.example.com/buy/tea", "https://shop.example.com/buy/tea/1?size=2&x=%2F%2e#", "https://shop.example.com:443/buy/tea",
		"https://SHOP.example.com/buy/tea", "https://shop.example.com/pay", "https://shop.example.com/pay/", "https://shop.example.com/pay?a=//evil.example",
		"http://127.0.0.1:8090", "http://127.0.0.1:8090/", "http://127.0.0.1:8090/any/page", "https://open.example.com:8443/x", "https://shop.example.com/buy/%E8%8C%B6",
		"https://shop.example.com/buy//tea", "https://shop.example.com/%62uy/tea",
	} {
		if strings.HasSuffix(address, "#") {
			require.ErrorContains(t, shopApp().MayReturnTo(address), "fragment")
			continue
		}
		require.NoError(t, shopApp().MayReturnTo(address), address)
	}
}

func TestMayReturnTo_refuses_what_could_lead_elsewhere(t *testing.T) {
	t.Parallel()
	for _, address := range []string{
		"", "/", "/buy/", "buy/", "//evil.example", "//shop.example.com/buy/", "///shop.example.com/buy/", "https:shop.example.com/buy/", "https:/shop.example.com/buy/",
		"https:///buy/", "https://", "https://:443/buy/", "https://?/buy/", "https://#/buy/",
		"https://evil.example/buy/", "https://shop.example.com.evil.example/buy/", "https://evilshop.example.com/buy/", "https://shop.example.com./buy/", "https://example.com/buy/",
		"https://shop.example.com@evil.example/buy/", "https://shop.example.com:x@evil.example/buy/", "https://user@shop.example.com/buy/", "https://@shop.example.com/buy/",
		"https://shop.example.com:pw@shop.example.com/buy/", "https://shop.example.com%40evil.example/buy/", "https://shop.example.com%2f@evil.example/buy/",
		"https://evil.example\\@shop.example.com/buy/", "https://shop.example.com\\.evil.example/buy/", "https:\\\\shop.example.com\\buy\\", "https://shop.example.com/buy\\..\\admin",
		"https://evil.example/https://shop.example.com/buy/", "https://evil.example?https://shop.example.com/buy/", "https://evil.example#https://shop.example.com/buy/",
		"http://shop.example.com/buy/", "https://shop.example.com:8443/buy/", "https://shop.example.com:80/buy/", "https://127.0.0.1:8090/", "http://127.0.0.1:8091/", "http://127.0.0.1/",
		"https://open.example.com/x", "http://localhost:8090/", "http://[::ffff:127.0.0.1]:8090/", "http://127.1:8090/", "http://2130706433:8090/",
		"https://shop.example.com/buy", "https://shop.example.com/buyer", "https://shop.example.com/BUY/", "https://shop.example.com/payment", "https://shop.example.com/", "https://shop.example.com",
		"https://shop.example.com/buy/..", "https://shop.example.com/buy/../admin", "https://shop.example.com/buy/./x", "https://shop.example.com/buy/%2e%2e/admin", "https://shop.example.com/buy/.%2E/admin",
		"https://shop.example.com/buy/%2E/x", "https://shop.example.com/buy/%252e%252e/admin", "https://shop.example.com/buy/..%2fadmin", "https://shop.example.com/buy%2ftea", "https://shop.example.com/buy/..%5cadmin",
		"https://shop.example.com/buy/..;/admin", "https://shop.example.com/buy/..;x=y/admin", "https://shop.example.com/buy/%00", "https://shop.example.com/buy/%zz",
		"https://shop.example.com/buy/#top", "https://shop.example.com/buy/#", "https://shop.example.com/buy/?x#y",
		"https://shop.example.com/buy/ x", " https://shop.example.com/buy/", "https://shop.example.com/buy/\t", "https://shop.example.com/buy/\r\nSet-Cookie: x=1", "https://shop.example.com/buy/\x00", "ht\ntps://shop.example.com/buy/",
		"https://shop.example.com/buy/茶", "https://shop。example.com/buy/", "https://ѕhop.example.com/buy/", "https://shop.example.com/buy/\u202e", "https://shop.example.com/buy/\"><script>", "https://shop.example.com/buy/<x>",
		"javascript:alert(1)", "javascript://shop.example.com/buy/%0aalert(1)", "data:text/html,x", "file:///etc/passwd", "ftp://shop.example.com/buy/", "weixin://dl/business", "HTTPS", "https",
		"https://shop.example.com/buy/?" + strings.Repeat("x", 2048),
	} {
		require.Error(t, shopApp().MayReturnTo(address), "%q", address)
	}
}

func TestMayReturnTo_lets_nothing_back_where_nothing_is_configured(t *testing.T) {
	t.Parallel()
	require.ErrorContains(t, merchant.App{AppID: "wx1"}.MayReturnTo("https://shop.example.com/"), "redirect_urls of app wx1")
}

func TestMayConfigure_takes_pages_of_the_named_domains(t *testing.T) {
	t.Parallel()
	for _, page := range []string{"https://shop.example.com", "https://shop.example.com/buy/?a=1", "http://shop.example.com:80/", "https://shop.example.com/buy/#x", "https://M.example.com:8443/x", "https://shop.example.com:443/"} {
		require.NoError(t, shopApp().MayConfigure(page), page)
	}
	for _, page := range []string{
		"", "shop.example.com", "https://example.com/", "https://shop.example.com.evil.example/", "https://a.shop.example.com/", "https://shop.example.com:8443/", "https://m.example.com/", "https://x@shop.example.com/",
		"https://shop.example.com:80/", "http://shop.example.com:443/", "https://evil.example/?https://shop.example.com/", "ftp://shop.example.com/", "https://shop.example.com\\@evil.example/", "https://shop.example.com/茶",
	} {
		require.Error(t, shopApp().MayConfigure(page), "%q", page)
	}
}

func TestOrigins_are_written_as_browsers_write_them(t *testing.T) {
	t.Parallel()
	secure := []string{"https://shop.example.com", "https://shop.example.com", "http://127.0.0.1:8090", "https://open.example.com:8443", "https://shop.example.com", "https://m.example.com:8443"}
	require.Equal(t, secure, shopApp().Origins(false))
	require.ElementsMatch(t, append(secure, "http://shop.example.com", "http://m.example.com:8443"), shopApp().Origins(true))
	require.Equal(t, []string{"https://shop.example.com"}, merchant.App{RedirectURLs: []string{"https://Shop.example.com:443/x"}}.Origins(false))
}

// Whatever comes in: what is let through begins, letter by letter, with what is
// allowed, and holds nothing that a browser reads in another way.
func FuzzMayReturnTo(f *testing.F) {
	for _, seed := range []string{
		"https://shop.example.com/buy/", "https://shop.example.com:443/buy/x?y", "https://SHOP.example.com/%62uy/", "https://shop.example.com@evil.example/buy/", "https://shop.example.com/buy/..;/x",
		"https:\\\\shop.example.com/buy/", "//shop.example.com/buy/", "https://shop.example.com/buy/%2e%2e/", "https://shop.example.com/buy/?a=%0d%0a", "https://[::1]/buy/", "https://shop.example.com/buy/@x", "http://127.0.0.1:8090",
	} {
		f.Add(seed)
	}
	allowed := regexp.MustCompile(`^((?i)https://shop\.example\.com(:443)?)/(?-i)([bB]|%[46]2)|^(?i)https://shop\.example\.com(:443)?/(p|%70)|^(?i)http://127\.0\.0\.1:8090([/?]|$)|^(?i)https://open\.example\.com:8443([/?]|$)`)
	f.Fuzz(func(t *testing.T, address string) {
		if shopApp().MayReturnTo(address) != nil {
			return
		}
		require.Regexp(t, allowed, address)
		require.NotRegexp(t, `[\x00-\x20\x7f-\x{10FFFF}\\#"<>]`, address)
		path, _, _ := strings.Cut(address, "?")
		require.NotContains(t, path[len("https://"):], "/../")
		authority, _, _ := strings.Cut(strings.SplitN(path, "://", 2)[1], "/")
		require.NotContains(t, authority, "@", "no user name")
	})
}
