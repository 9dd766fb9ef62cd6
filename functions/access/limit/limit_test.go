package limit_test

import (
	"fmt"
	"net/netip"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"sluice/functions/access/limit"
)

var (
	public  = netip.MustParseAddr("203.0.113.1")
	private = netip.MustParseAddr("10.0.0.1")
)

// exceeded wants that limit to be reached.
func exceeded(t require.TestingT, name string, err error) {
	var over *limit.Exceeded
	require.ErrorAs(t, err, &over)
	require.Equal(t, name, over.Limit)
	require.Positive(t, over.Retry, "it passes")
	require.NotEmpty(t, over.Error())
}

func take(t require.TestingT, l *limit.Limits, c limit.Claim) func() {
	release, err := l.Take(c)
	require.NoError(t, err)
	return release
}

func TestALimitForEachAddress(t *testing.T) {
	l := limit.New(limit.Config{StreamsPerAddress: 2})
	first := take(t, l, limit.Claim{Address: private})
	take(t, l, limit.Claim{Address: private})
	_, err := l.Take(limit.Claim{Address: private})
	exceeded(t, limit.FromAddress, err)
	take(t, l, limit.Claim{Address: public})
	first()
	first()
	take(t, l, limit.Claim{Address: private})
	_, err = l.Take(limit.Claim{Address: private})
	exceeded(t, limit.FromAddress, err)
	for range 3 { // no address, no limit: there is nobody to count for
		take(t, l, limit.Claim{})
	}
}

// TestAnIPv6SiteIsOneClient: it has 2^64 addresses to choose from.
func TestAnIPv6SiteIsOneClient(t *testing.T) {
	l := limit.New(limit.Config{StreamsPerAddress: 1})
	take(t, l, limit.Claim{Address: netip.MustParseAddr("2001:db8::1")})
	_, err := l.Take(limit.Claim{Address: netip.MustParseAddr("2001:db8::ffff:2")})
	exceeded(t, limit.FromAddress, err)
	take(t, l, limit.Claim{Address: netip.MustParseAddr("2001:db8:0:1::1")})
}

// TestAutoBoundsAddressesOfTheInternet: behind a proxy all clients have one
// private address.
func TestAutoBoundsAddressesOfTheInternet(t *testing.T) {
	l := limit.New(limit.Config{StreamsPerAddress: limit.Auto, ArrivalsPerAddress: limit.Auto})
	for range 1024 {
		take(t, l, limit.Claim{Address: public})
	}
	_, err := l.Take(limit.Claim{Address: public})
	exceeded(t, limit.FromAddress, err)
	for range 2000 {
		take(t, l, limit.Claim{Address: private})
		require.NoError(t, l.Arrive(private))
	}
}

func TestALimitForEachSubject(t *testing.T) {
	l := limit.New(limit.Config{StreamsPerSubject: 1})
	release := take(t, l, limit.Claim{Address: public, Subject: "alice"})
	_, err := l.Take(limit.Claim{Address: private, Subject: "alice"})
	exceeded(t, limit.ForSubject, err)
	take(t, l, limit.Claim{Subject: "bob"})
	take(t, l, limit.Claim{})
	take(t, l, limit.Claim{})
	release()
	take(t, l, limit.Claim{Subject: "alice"})
}

func TestALimitForTopicSets(t *testing.T) {
	l := limit.New(limit.Config{TopicSets: 2})
	a := take(t, l, limit.Claim{Topics: "a"})
	take(t, l, limit.Claim{Topics: "b"})
	again := take(t, l, limit.Claim{Topics: "a"})
	_, err := l.Take(limit.Claim{Topics: "c"})
	exceeded(t, limit.TooManyTopics, err)
	a()
	_, err = l.Take(limit.Claim{Topics: "c"})
	exceeded(t, limit.TooManyTopics, err)
	again()
	take(t, l, limit.Claim{Topics: "c"})
}

// TestNewStreamsOfAnAddressComeSlowly: all of a burst at once, then so many a
// second; others are not slowed.
func TestNewStreamsOfAnAddressComeSlowly(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := limit.New(limit.Config{ArrivalsPerAddress: 5})
		for range 50 {
			require.NoError(t, l.Arrive(public))
		}
		exceeded(t, limit.ArrivalRate, l.Arrive(public))
		require.NoError(t, l.Arrive(private))
		<-time.After(time.Second)
		for range 5 {
			require.NoError(t, l.Arrive(public))
		}
		exceeded(t, limit.ArrivalRate, l.Arrive(public))
	})
}

// TestAllOfAnAddressMayComeBackTogether, when the edge that had them is gone.
func TestAllOfAnAddressMayComeBackTogether(t *testing.T) {
	l := limit.New(limit.Config{ArrivalsPerAddress: 1, StreamsPerAddress: 50})
	for range 50 {
		require.NoError(t, l.Arrive(public))
	}
	auto := limit.New(limit.Config{ArrivalsPerAddress: limit.Auto, StreamsPerAddress: limit.Auto})
	for range 1024 {
		require.NoError(t, auto.Arrive(public))
	}
}

// TestManyAddressesTakeBoundedMemory: what is forgotten is only how fast an
// address was.
func TestManyAddressesTakeBoundedMemory(t *testing.T) {
	l := limit.New(limit.Config{ArrivalsPerAddress: 1, StreamsPerAddress: 1})
	take(t, l, limit.Claim{Address: public})
	for i := range 1 << 17 {
		require.NoError(t, l.Arrive(netip.AddrFrom4([4]byte{11, byte(i >> 16), byte(i >> 8), byte(i)})))
	}
	require.LessOrEqual(t, limit.Remembered(l), 1<<16)
	_, err := l.Take(limit.Claim{Address: public})
	exceeded(t, limit.FromAddress, err)
}

// TestAReplayBudgetIsAnIdentitys: what is spent beyond it is owed, and it fills
// again within an hour.
func TestAReplayBudgetIsAnIdentitys(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := limit.New(limit.Config{ReplayEvents: 3600})
		alice := l.Replay(limit.Claim{Address: public, Subject: "alice"})
		assert.True(t, alice.Left())
		alice.Spend(3599)
		assert.True(t, l.Replay(limit.Claim{Address: private, Subject: "alice"}).Left())
		alice.Spend(11)
		assert.False(t, l.Replay(limit.Claim{Address: private, Subject: "alice"}).Left(), "wherever she is")
		address := l.Replay(limit.Claim{Address: public})
		assert.True(t, address.Left(), "an address without a subject")
		address.Spend(3 * 3600)
		<-time.After(10 * time.Second)
		assert.False(t, alice.Left(), "ten were owed")
		<-time.After(time.Second)
		assert.True(t, alice.Left())
		<-time.After(2*time.Hour - time.Minute)
		assert.False(t, address.Left(), "three hours' worth, of which one was there")
		<-time.After(time.Minute)
		assert.True(t, address.Left())
	})
	endless := limit.New(limit.Config{}).Replay(limit.Claim{})
	endless.Spend(1 << 40)
	assert.True(t, endless.Left())
}

// TestLimitsAgainstAModel: what is open never exceeds a limit, nobody is refused
// who is within all, and at the end nothing is left.
func TestLimitsAgainstAModel(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		const perAddress, perSubject, sets = 3, 2, 2
		l := limit.New(limit.Config{StreamsPerAddress: perAddress, StreamsPerSubject: perSubject, TopicSets: sets})
		open := map[int]limit.Claim{}
		releases := map[int]func(){}
		count := func(same func(limit.Claim) bool) (n int) {
			for _, c := range open {
				if same(c) {
					n++
				}
			}
			return n
		}
		for i := range rapid.IntRange(1, 60).Draw(t, "steps") {
			if rapid.Bool().Draw(t, "release") {
				for id, release := range releases {
					release()
					delete(open, id)
					delete(releases, id)
					break
				}
				continue
			}
			c := limit.Claim{
				Address: rapid.SampledFrom([]netip.Addr{public, private}).Draw(t, "address"),
				Subject: rapid.SampledFrom([]string{"", "a", "b"}).Draw(t, "subject"),
				Topics:  rapid.SampledFrom([]string{"x", "y", "z"}).Draw(t, "topics"),
			}
			different := map[string]bool{}
			for _, o := range open {
				different[o.Topics] = true
			}
			want := ""
			switch {
			case count(func(o limit.Claim) bool { return o.Address == c.Address }) >= perAddress:
				want = limit.FromAddress
			case c.Subject != "" && count(func(o limit.Claim) bool { return o.Subject == c.Subject }) >= perSubject:
				want = limit.ForSubject
			case !different[c.Topics] && len(different) >= sets:
				want = limit.TooManyTopics
			}
			release, err := l.Take(c)
			if want != "" {
				exceeded(t, want, err)
				continue
			}
			require.NoError(t, err)
			open[i], releases[i] = c, release
		}
		for _, release := range releases {
			release()
		}
		require.Zero(t, limit.Held(l))
	})
}

func TestManyAtOnceNeverExceedALimit(t *testing.T) {
	l := limit.New(limit.Config{StreamsPerAddress: 10})
	var mu sync.Mutex
	admitted := 0
	var asking sync.WaitGroup
	for range 100 {
		asking.Go(func() {
			if _, err := l.Take(limit.Claim{Address: public}); err == nil {
				mu.Lock()
				defer mu.Unlock()
				admitted++
			}
		})
	}
	asking.Wait()
	assert.Equal(t, 10, admitted)
}

func TestASettingOfAnAddress(t *testing.T) {
	for text, want := range map[string]limit.PerAddress{"auto": limit.Auto, "0": 0, "17": 17} {
		var p limit.PerAddress
		require.NoError(t, p.UnmarshalText([]byte(text)))
		assert.Equal(t, want, p)
	}
	for _, text := range []string{"", "-1", "all", "1.5", fmt.Sprint(1 << 40)} {
		var p limit.PerAddress
		assert.Error(t, p.UnmarshalText([]byte(text)), text)
	}
}
