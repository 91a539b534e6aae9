package front

import (
	"net/http"
	"net/netip"
	"strings"

	"github.com/fenflow/fenflow/pkg/httpedge"
)

// clientOf is where a request comes from. A connection from an address that no
// buyer has (loopback, private, link-local, a provider's own) is a proxy's of
// ours, and the last address in X-Forwarded-For that is none of those is the
// client's. What a client wrote there itself stands before it. A proxy that says
// nothing leaves the client unknown: it bounds clients itself.
func clientOf(r *http.Request) (netip.Prefix, bool) {
	at, err := netip.ParseAddrPort(r.RemoteAddr)
	if err != nil {
		return netip.Prefix{}, false
	}
	if !isOwn(at.Addr()) {
		return httpedge.Place(at.Addr()), true
	}
	named := strings.Split(strings.Join(r.Header.Values("X-Forwarded-For"), ","), ",")
	for i := len(named) - 1; i >= 0; i-- {
		address, err := netip.ParseAddr(strings.TrimSpace(named[i]))
		if err != nil {
			return netip.Prefix{}, false
		}
		if !isOwn(address) {
			return httpedge.Place(address), true
		}
	}
	return netip.Prefix{}, false
}

// isOwn says whether an address is one of a private network, or of the shared
// space that providers put their load balancers in (RFC 6598).
func isOwn(address netip.Addr) bool {
	address = address.Unmap()
	return address.IsLoopback() || address.IsPrivate() || address.IsLinkLocalUnicast() || providers().Contains(address)
}

func providers() netip.Prefix { return netip.PrefixFrom(netip.AddrFrom4([4]byte{100, 64, 0, 0}), 10) }
