package httpedge

import "net/netip"

// PlaceOf is where a request comes from: an IPv4 address, or the /64 of an IPv6
// one, because whoever has one of those has them all.
func PlaceOf(remote string) netip.Prefix {
	at, err := netip.ParseAddrPort(remote)
	if err != nil {
		return netip.Prefix{}
	}
	return Place(at.Addr())
}

// Place is PlaceOf an address alone.
func Place(address netip.Addr) netip.Prefix {
	address = address.Unmap().WithZone("")
	bits := 32
	if address.Is6() {
		bits = 64
	}
	prefix, err := address.Prefix(bits)
	if err != nil {
		return netip.Prefix{}
	}
	return prefix
}
