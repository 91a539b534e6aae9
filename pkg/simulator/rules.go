package simulator

import (
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strings"
)

// numberOf wants digits, letters and the marks that WeChat allows in a number.
func numberOf(marks string) func(string) string {
	return func(v string) string {
		for _, c := range v {
			if !strings.ContainsRune(alphanumeric, c) && !strings.ContainsRune(marks, c) {
				return "may hold only digits, letters and " + marks
			}
		}
		return ""
	}
}

func oneOf(values ...string) func(string) string {
	return func(v string) string {
		if slices.Contains(values, v) {
			return ""
		}
		return "must be " + strings.Join(values, " or ")
	}
}

// pathNumber is the out_trade_no of a path, under the same rule as in a prepay.
func pathNumber(r *http.Request) (string, *refusal) {
	number := pathParam(r, "out_trade_no")
	if len(number) < 6 || len(number) > 32 || numberOf("_-|*")(number) != "" {
		return "", requestError("path", "out_trade_no must have 6 to 32 digits, letters and _-|*")
	}
	return number, nil
}

// notifyURLIssue is the rule for every notify_url of the API; the strict one is as
// strict as the real platform (WeChat Pay doc 4012075420).
func (s *Simulator) notifyURLIssue(v string) string {
	issue := notifyURLIssue(v)
	if issue != "" || !s.strictNotifyURL {
		return issue
	}
	u, err := url.Parse(v)
	switch {
	case err != nil || u.Scheme != "https":
		return "must begin with https:// (strict-notify-url is on)"
	case !publicHost(u.Hostname()):
		return "must have a public host, not this machine or a private network (strict-notify-url is on)"
	}
	return ""
}

// publicHost says whether a host could be reached from the Internet, as far as its
// spelling tells: names are not looked up.
func publicHost(host string) bool {
	if at, err := netip.ParseAddr(host); err == nil {
		at = at.Unmap()
		return at.IsGlobalUnicast() && !at.IsPrivate() && at.Zone() == ""
	}
	name := strings.ToLower(strings.TrimSuffix(host, "."))
	for _, inner := range []string{"localhost", "local", "internal", "lan", "home", "corp", "test", "invalid"} {
		if name == inner || strings.HasSuffix(name, "."+inner) {
			return false
		}
	}
	return strings.Contains(name, ".") && strings.ContainsFunc(name[strings.LastIndexByte(name, '.')+1:], isLetter)
}

// isLetter: a top-level domain has one; 127.1 and 0x7f.1 are addresses in disguise.
func isLetter(r rune) bool { return r >= 'a' && r <= 'z' }

// clientIPIssue wants the payer's address, which is not that of the merchant's own
// machine.
func clientIPIssue(v string) string {
	at, err := netip.ParseAddr(v)
	if err != nil || at.Zone() != "" {
		return "must be an IPv4 or IPv6 address"
	}
	if at.Unmap().IsLoopback() || at.IsUnspecified() {
		return "must be the payer's address, not " + net.IP(at.AsSlice()).String()
	}
	return ""
}
