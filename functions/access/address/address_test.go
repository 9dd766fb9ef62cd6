package address_test

import (
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"sluice/functions/access/address"
)

func reader(t testing.TB, header string, trusted ...string) *address.Reader {
	t.Helper()
	var ranges []netip.Prefix
	for _, text := range trusted {
		ranges = append(ranges, netip.MustParsePrefix(text))
	}
	a, err := address.New(ranges, header)
	require.NoError(t, err)
	return a
}

func request(peer string, header http.Header) *http.Request {
	r := httptest.NewRequest(http.MethodGet, "/", nil)
	r.RemoteAddr, r.Header = peer, header
	return r
}

func TestWhereARequestComesFrom(t *testing.T) {
	xff := reader(t, address.XForwardedFor, "10.0.0.0/8", "fd00::/8", "127.0.0.1/32")
	forwarded := reader(t, address.Forwarded, "10.0.0.0/8")
	for _, tt := range []struct {
		name, peer string
		reader     *address.Reader
		header     http.Header
		want       string
	}{
		{"no proxies", "203.0.113.1:5", nil, http.Header{"X-Forwarded-For": {"198.51.100.7"}}, "203.0.113.1"},
		{"a stranger who names another", "203.0.113.1:5", xff, http.Header{"X-Forwarded-For": {"198.51.100.7"}}, "203.0.113.1"},
		{"through a proxy", "10.0.0.2:5", xff, http.Header{"X-Forwarded-For": {"198.51.100.7"}}, "198.51.100.7"},
		{"through two", "10.0.0.2:5", xff, http.Header{"X-Forwarded-For": {"198.51.100.7, 10.3.3.3"}}, "198.51.100.7"},
		{"with words of its own before", "10.0.0.2:5", xff, http.Header{"X-Forwarded-For": {"1.1.1.1, 127.0.0.1", "198.51.100.7"}}, "198.51.100.7"},
		{"a proxy that names nothing", "10.0.0.2:5", xff, http.Header{}, "10.0.0.2"},
		{"a proxy that names no address", "10.0.0.2:5", xff, http.Header{"X-Forwarded-For": {"198.51.100.7, unknown"}}, "10.0.0.2"},
		{"the other header", "10.0.0.2:5", xff, http.Header{"Forwarded": {"for=198.51.100.7"}}, "10.0.0.2"},
		{"forwarded", "10.0.0.2:5", forwarded, http.Header{"Forwarded": {`for=1.1.1.1, For="[2001:db8::17]:4711";proto=https`}}, "2001:db8::17"},
		{"only its X-Forwarded-For", "10.0.0.2:5", forwarded, http.Header{"X-Forwarded-For": {"1.1.1.1"}}, "10.0.0.2"},
		{"an IPv4 address in an IPv6 socket", "[::ffff:10.0.0.2]:5", xff, http.Header{"X-Forwarded-For": {"::ffff:198.51.100.7"}}, "198.51.100.7"},
		{"a zone", "[fe80::1%eth0]:5", xff, nil, "fe80::1"},
		{"too long at its beginning", "10.0.0.2:5", xff, http.Header{"X-Forwarded-For": {strings.Repeat("1.1.1.1,", 8000) + "198.51.100.7"}}, "198.51.100.7"},
		{"no address at all", "@", xff, nil, "invalid IP"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			assert.Equal(t, tt.want, tt.reader.Of(request(tt.peer, tt.header)).String())
		})
	}
}

// TestALongHeaderCostsLittle: 64 KiB of it are the client's to send.
func TestALongHeaderCostsLittle(t *testing.T) {
	r := request("10.0.0.2:5", http.Header{"X-Forwarded-For": {strings.Repeat("1.1.1.1,", 8000) + "198.51.100.7"}})
	xff := reader(t, address.XForwardedFor, "10.0.0.0/8")
	const most = 4 << 10 // several for each of the 500 addresses that are read
	assert.Less(t, testing.AllocsPerRun(10, func() { xff.Of(r) }), float64(most))
}

func TestWhatCountsAsOneClient(t *testing.T) {
	for text, want := range map[string]string{"203.0.113.1": "203.0.113.1/32", "2001:db8:1:2:3::4": "2001:db8:1:2::/64"} {
		assert.Equal(t, want, address.Key(netip.MustParseAddr(text)).String())
	}
	assert.Equal(t, netip.Prefix{}, address.Key(netip.Addr{}))
}

func TestWhichAddressesAreTheInternets(t *testing.T) {
	for text, want := range map[string]bool{
		"203.0.113.1": true, "2001:db8::1": true,
		"127.0.0.1": false, "::1": false, "10.1.1.1": false, "192.168.0.1": false, "169.254.1.1": false, "100.64.0.1": false, "fd00::1": false, "fe80::1": false, "0.0.0.0": false,
	} {
		assert.Equal(t, want, address.Public(netip.MustParseAddr(text)), text)
	}
	assert.False(t, address.Public(netip.Addr{}))
}

func TestWhatIsThisMachineAlone(t *testing.T) {
	for host, want := range map[string]bool{
		"localhost": true, "127.0.0.1": true, "127.9.9.9": true, "::1": true, "::ffff:127.0.0.1": true,
		"0.0.0.0": false, "::": false, "10.0.0.1": false, "localhost.evil.example": false, "x.localhost": false, "::1%lo": false, "": false,
	} {
		assert.Equal(t, want, address.Loopback(host), host)
	}
}

// FuzzOf: whatever a header says, the address is one that a trusted proxy has
// written there, or the proxy's own.
func FuzzOf(f *testing.F) {
	f.Add("1.1.1.1", "198.51.100.7")
	f.Add(`for="[::1%25x]";by=`, ",")
	xff := reader(f, address.XForwardedFor, "10.0.0.0/8")
	forwarded := reader(f, address.Forwarded, "10.0.0.0/8")
	f.Fuzz(func(t *testing.T, said, more string) {
		for _, text := range []string{said, said + ", " + more} {
			for _, a := range []*address.Reader{xff, forwarded} {
				got := a.Of(request("10.0.0.2:5", http.Header{"X-Forwarded-For": {text, "203.0.113.9"}, "Forwarded": {text, "for=203.0.113.9"}}))
				require.Equal(t, "203.0.113.9", got.String(), "the last one is the proxy's")
				require.True(t, a.Of(request("10.0.0.2:5", http.Header{"X-Forwarded-For": {text}, "Forwarded": {text}})).IsValid())
			}
		}
	})
}
