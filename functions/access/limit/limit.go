// Package limit says how much one client may have: open streams by address and by
// subject, new streams a second, topic sets of the whole process, and events of
// the log an hour.
//
// All of it is safe for concurrent use, and nobody waits in it. It keeps a record
// of each address and subject with an open stream, and of the last maxRecent that
// asked for one.
package limit

import (
	"fmt"
	"net/netip"
	"strconv"
	"sync"
	"time"

	lru "github.com/hashicorp/golang-lru/v2"
	"golang.org/x/time/rate"

	"sluice/functions/access/address"
)

// Defaults of a Config.
const (
	DefaultStreamsPerSubject = 4096
	DefaultTopicSets         = 16384
)

const (
	// autoStreams and autoArrivals are what Auto means for an address of the
	// internet.
	autoStreams  = 1024
	autoArrivals = 100
	// burst is how many seconds' worth of new streams may come at once: all the
	// clients behind one address come back together.
	burst = 10
	// window is over which a replay budget is spread.
	window = time.Hour
	// maxRecent is how many addresses are remembered for their new streams, and how
	// many for their replays, about 200 bytes each.
	maxRecent = 1 << 16
	// crowdedRetry is after how long a client with too many open streams may try
	// again.
	crowdedRetry = 10 * time.Second
)

// PerAddress is a limit for each address: a number, 0 for none, or Auto.
type PerAddress int

// Auto bounds addresses of the internet, and no others: many clients may share the
// address of a proxy or a machine.
const Auto PerAddress = -1

// UnmarshalText reads a number or "auto".
func (p *PerAddress) UnmarshalText(text []byte) error {
	if string(text) == "auto" {
		*p = Auto
		return nil
	}
	n, err := strconv.ParseUint(string(text), 10, 31)
	if err != nil {
		return fmt.Errorf("%q: want auto, 0 for none, or a number", text)
	}
	*p = PerAddress(n)
	return nil
}

// of is the limit for an address; 0 for none.
func (p PerAddress) of(addr netip.Addr, auto int) int {
	switch {
	case !addr.IsValid() || p == Auto && !address.Public(addr):
		return 0
	case p == Auto:
		return auto
	}
	return int(p)
}

// Config is the limits; a zero one is none.
type Config struct {
	StreamsPerAddress  PerAddress
	ArrivalsPerAddress PerAddress // new streams a second
	StreamsPerSubject  int
	TopicSets          int // distinct ones of all open streams
	ReplayEvents       int // of the log, an hour, for each subject, or address of those without
	Publishes          int // events a second, for the same
}

// Claim is what a stream counts for.
type Claim struct {
	Address netip.Addr
	Subject string // "" for none
	Topics  string // the key of its topic set
}

// What an Exceeded names.
const (
	FromAddress   = "too_many_from_address"
	ArrivalRate   = "too_fast_from_address"
	ForSubject    = "too_many_for_subject"
	TooManyTopics = "too_many_topic_sets"
)

// Exceeded is the error of a limit that is reached. Its text is for the client.
type Exceeded struct {
	Limit string
	Retry time.Duration // after which it may be tried again
	text  string
}

func (e *Exceeded) Error() string { return e.text }

// Limits counts. Make one with New.
type Limits struct {
	cfg      Config
	arrivals *lru.Cache[netip.Prefix, *rate.Limiter]
	replays  *lru.Cache[string, *rate.Limiter]
	authors  *lru.Cache[string, *rate.Limiter]

	mu        sync.Mutex
	addresses map[netip.Prefix]int
	subjects  map[string]int
	sets      map[string]int
}

// New makes limits that nobody has reached.
func New(cfg Config) *Limits {
	return &Limits{cfg: cfg, arrivals: buckets[netip.Prefix](), replays: buckets[string](), authors: buckets[string](),
		addresses: map[netip.Prefix]int{}, subjects: map[string]int{}, sets: map[string]int{}}
}

func buckets[K comparable]() *lru.Cache[K, *rate.Limiter] {
	all, err := lru.New[K, *rate.Limiter](maxRecent)
	if err != nil {
		panic("limit: " + err.Error()) // only for a size below 1
	}
	return all
}

// Arrive counts a new stream of an address; the error is an *Exceeded when there
// were too many in the last seconds.
func (l *Limits) Arrive(addr netip.Addr) error {
	most := l.cfg.ArrivalsPerAddress.of(addr, autoArrivals)
	if most == 0 {
		return nil
	}
	// All that may be open come back together when an edge has gone.
	together := max(most*burst, l.cfg.StreamsPerAddress.of(addr, autoStreams))
	bucket := of(l.arrivals, address.Key(addr), rate.Limit(most), together)
	if bucket.Allow() {
		return nil
	}
	return &Exceeded{ArrivalRate, time.Second, fmt.Sprintf("too many new streams from this address: %d a second are allowed; wait before you try again", most)}
}

// of is the bucket of a key; a new one is full.
func of[K comparable](all *lru.Cache[K, *rate.Limiter], key K, perSecond rate.Limit, size int) *rate.Limiter {
	if bucket, ok := all.Get(key); ok {
		return bucket
	}
	bucket := rate.NewLimiter(perSecond, size)
	if other, ok, _ := all.PeekOrAdd(key, bucket); ok {
		return other
	}
	return bucket
}

// Take counts an open stream, until release is called; only its first call counts.
// The error is an *Exceeded, and then nothing is counted.
func (l *Limits) Take(c Claim) (release func(), err error) {
	key := address.Key(c.Address)
	l.mu.Lock()
	defer l.mu.Unlock()
	if most := l.cfg.StreamsPerAddress.of(c.Address, autoStreams); most > 0 && l.addresses[key] >= most {
		return nil, &Exceeded{FromAddress, crowdedRetry, fmt.Sprintf("too many streams from this address: %d may be open at once", most)}
	}
	if most := l.cfg.StreamsPerSubject; most > 0 && c.Subject != "" && l.subjects[c.Subject] >= most {
		return nil, &Exceeded{ForSubject, crowdedRetry, fmt.Sprintf("too many streams for this subject: %d may be open at once", most)}
	}
	if most := l.cfg.TopicSets; most > 0 && l.sets[c.Topics] == 0 && len(l.sets) >= most {
		return nil, &Exceeded{TooManyTopics, crowdedRetry, fmt.Sprintf("this instance serves %d different sets of topics already", most)}
	}
	l.addresses[key]++
	l.sets[c.Topics]++
	if c.Subject != "" {
		l.subjects[c.Subject]++
	}
	return sync.OnceFunc(func() { l.release(key, c) }), nil
}

func (l *Limits) release(key netip.Prefix, c Claim) {
	l.mu.Lock()
	defer l.mu.Unlock()
	less(l.addresses, key)
	less(l.sets, c.Topics)
	if c.Subject != "" {
		less(l.subjects, c.Subject)
	}
}

func less[K comparable](counts map[K]int, key K) {
	if counts[key]--; counts[key] == 0 {
		delete(counts, key)
	}
}

// Budget is what one client may have read from the log. The nil Budget is without
// an end.
type Budget struct {
	limits *Limits
	key    string
}

// Replay is the budget of a stream; nil when there is no limit.
func (l *Limits) Replay(c Claim) *Budget {
	if l.cfg.ReplayEvents == 0 {
		return nil
	}
	return &Budget{l, c.key()}
}

// key is whose claim it is.
func (c *Claim) key() string {
	if c.Subject == "" {
		return "address " + address.Key(c.Address).String()
	}
	return "sub " + c.Subject
}

// Publish is the bucket of the events that a client publishes; nil when there is no
// limit. One who publishes for longer than it is remembered keeps its bucket.
func (l *Limits) Publish(c Claim) *rate.Limiter {
	if l.cfg.Publishes == 0 {
		return nil
	}
	return of(l.authors, c.key(), rate.Limit(l.cfg.Publishes), l.cfg.Publishes*burst)
}

// bucket is looked for at each use: while the client reads it may be forgotten,
// and another stream of the client have a new one.
func (b *Budget) bucket() *rate.Limiter {
	most := b.limits.cfg.ReplayEvents
	return of(b.limits.replays, b.key, rate.Limit(float64(most)/window.Seconds()), most)
}

// Left reports whether anything is left.
func (b *Budget) Left() bool { return b == nil || b.bucket().Tokens() >= 1 }

// Spend takes n events from what is left. It may be less: then the rest is owed.
func (b *Budget) Spend(n int) {
	if b == nil {
		return
	}
	bucket := b.bucket()
	for most := b.limits.cfg.ReplayEvents; n > 0; n -= most {
		bucket.ReserveN(time.Now(), min(n, most))
	}
}
