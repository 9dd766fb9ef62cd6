// Package address says where a request comes from: the other end of its
// connection, or, where that is a trusted proxy, the client that the proxy names.
//
// A proxy appends the address that it sees to the right of X-Forwarded-For or
// Forwarded (RFC 7239). What stands left of the first address that no trusted
// proxy has added is the client's own word, and is not read. Nothing blocks.
package address

import (
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"strings"

	"github.com/realclientip/realclientip-go"
)

// The headers that can name the client.
const (
	XForwardedFor = "X-Forwarded-For"
	Forwarded     = "Forwarded"
)

// maxHeaderBytes is how much of the header is read, from its end.
const maxHeaderBytes = 4 << 10

// Reader reads the addresses of requests. The nil Reader trusts nobody. It is safe
// for concurrent use.
type Reader struct {
	trusted  []netip.Prefix
	header   string
	strategy realclientip.Strategy
}

// New makes a Reader that believes the header of proxies in those ranges.
func New(trusted []netip.Prefix, header string) (*Reader, error) {
	var ranges []net.IPNet
	for _, p := range trusted {
		ranges = append(ranges, net.IPNet{IP: p.Addr().AsSlice(), Mask: net.CIDRMask(p.Bits(), p.Addr().BitLen())})
	}
	strategy, err := realclientip.NewRightmostTrustedRangeStrategy(header, ranges)
	if err != nil {
		return nil, fmt.Errorf("a header of client addresses: %w", err)
	}
	return &Reader{trusted: trusted, header: header, strategy: strategy}, nil
}

// Trusts reports whether an address is a trusted proxy's.
func (a *Reader) Trusts(addr netip.Addr) bool {
	if a == nil {
		return false
	}
	for _, p := range a.trusted {
		if p.Contains(addr.Unmap()) {
			return true
		}
	}
	return false
}

// Of is the client's address, without a zone; the zero address when the connection
// has none. Where a trusted proxy names no address it is the proxy's.
func (a *Reader) Of(r *http.Request) netip.Addr {
	end, err := netip.ParseAddrPort(r.RemoteAddr)
	if err != nil {
		return netip.Addr{}
	}
	peer := plain(end.Addr())
	if !a.Trusts(peer) {
		return peer
	}
	text := a.strategy.ClientIP(http.Header{a.header: {lastOf(r.Header[a.header])}}, "")
	if client, err := netip.ParseAddr(text); err == nil {
		return plain(client)
	}
	return peer
}

func plain(addr netip.Addr) netip.Addr { return addr.Unmap().WithZone("") }

// lastOf is the end of a list in one or more headers, without what is too long of
// its beginning.
func lastOf(values []string) string {
	list := strings.Join(values, ",")
	if len(list) <= maxHeaderBytes {
		return list
	}
	_, list, _ = strings.Cut(list[len(list)-maxHeaderBytes:], ",")
	return list
}

// ipv6Bits is how much of an IPv6 address is one client's: a site gets at least a
// /64 (RFC 6177).
const ipv6Bits = 64

// Key is what counts as one client: an IPv4 address, or the /64 of an IPv6 one.
func Key(addr netip.Addr) netip.Prefix {
	bits := addr.BitLen()
	if addr.Is6() {
		bits = ipv6Bits
	}
	key, err := addr.Prefix(bits)
	if err != nil {
		return netip.Prefix{} // of no address
	}
	return key
}

// Loopback reports whether a host, by its name or address, is this machine alone.
func Loopback(host string) bool {
	addr, err := netip.ParseAddr(host)
	return host == "localhost" || err == nil && addr.Zone() == "" && addr.Unmap().IsLoopback()
}

// shared is the range of carriers' own addresses (RFC 6598).
var shared = netip.MustParsePrefix("100.64.0.0/10")

// Public reports whether the address is one of the internet, and not a machine's,
// a private network's or a platform's own.
func Public(addr netip.Addr) bool {
	return addr.IsGlobalUnicast() && !addr.IsPrivate() && !shared.Contains(addr)
}
