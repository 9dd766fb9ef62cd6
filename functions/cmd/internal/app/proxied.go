package app

import (
	"fmt"
	"net"

	"github.com/pires/go-proxyproto"

	"sluice/functions/access/address"
	"sluice/functions/settings"
)

// proxied has connections from trusted proxies begin with a PROXY header, if that
// is set; their remote address is the client's then. From these the header is
// required: a receiver that guesses takes it from whoever writes one (the PROXY
// protocol's section 2). From others it is no HTTP.
//
// The header is read with the connection's first use, which is in its own
// goroutine, and within readHeaderTimeout.
func proxied(l net.Listener, s *settings.Proxies) (net.Listener, error) {
	if !s.Protocol {
		return l, nil
	}
	peers, err := address.New(s.Ranges(), s.ForwardedHeader)
	if err != nil {
		return nil, fmt.Errorf("TRUSTED_PROXIES or FORWARDED_HEADER: %w", err)
	}
	return &proxyproto.Listener{
		Listener:          l,
		ReadHeaderTimeout: readHeaderTimeout,
		ConnPolicy: func(o proxyproto.ConnPolicyOptions) (proxyproto.Policy, error) {
			if tcp, ok := o.Upstream.(*net.TCPAddr); ok && peers.Trusts(tcp.AddrPort().Addr()) {
				return proxyproto.REQUIRE, nil
			}
			return proxyproto.SKIP, nil
		},
	}, nil
}
