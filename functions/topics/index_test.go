package topics

import (
	"fmt"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"sluice/publisher/event"
)

// found is the values of all filters in the index that match, in order.
func found(x *Index[int], topic string) []int {
	var all []int
	x.Each(topic, func(v int) bool { all = append(all, v); return false })
	slices.Sort(all)
	return all
}

// TestIndexFindsWhatTheFiltersMatch: also when filters have gone again.
func TestIndexFindsWhatTheFiltersMatch(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var x Index[int]
		there := map[int]string{}
		for i, f := range rapid.SliceOfN(filterGen(), 1, 60).Draw(t, "filters") {
			x.Add(f, i)
			there[i] = f
			if gone := rapid.IntRange(0, 2*i).Draw(t, "gone"); there[gone] != "" {
				x.Remove(there[gone], gone)
				delete(there, gone)
			}
		}
		for _, topic := range smallTopics {
			var want []int
			for i, f := range there {
				if event.Matches(f, topic) {
					want = append(want, i)
				}
			}
			slices.Sort(want)
			require.Equal(t, want, found(&x, topic), topic)
		}
		for i, f := range there {
			x.Remove(f, i)
		}
		require.Equal(t, Index[int]{}, x, "nothing is left of it")
	})
}

func TestIndexStopsWhenItIsEnough(t *testing.T) {
	var x Index[int]
	for i := range 20 {
		x.Add("a.*", i)
		x.Add("*.b", i)
		x.Add(">", i)
	}
	calls := 0
	require.True(t, x.Each("a.b", func(int) bool { calls++; return true }))
	require.Equal(t, 1, calls)
}

// TestMatchesIsTheGrammars: on topics that are longer, shorter and equal.
func TestMatchesIsTheGrammars(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		filter := filterGen().Draw(t, "filter")
		for _, topic := range append(smallTopics, "ab", "ab.a", "a.ab", "a.b-c") {
			require.Equal(t, event.Matches(filter, topic), matches(filter, topic), "%s on %s", filter, topic)
		}
	})
}

// uselessFilters match no topic of the log, and share their first tokens with all.
func uselessFilters(n int) (filters []string) {
	for i := range n {
		filters = append(filters, fmt.Sprintf("metric.*.bbb.ccx%d", i))
	}
	return filters
}

func BenchmarkUselessFilters(b *testing.B) {
	for _, n := range []int{1, 4, 32} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			s, err := New(uselessFilters(n)...)
			require.NoError(b, err)
			for b.Loop() {
				s.Match("metric.aaa12345.bbb.ccc")
			}
		})
	}
}

// nodes is how many there are in the index.
func nodes[T comparable](n *node[T]) int {
	all := 1
	for _, b := range n.few {
		all += nodes(b.node)
	}
	for _, below := range n.next {
		all += nodes(below)
	}
	if n.star != nil {
		all += nodes(n.star)
	}
	return all
}

// TestAFilterIsKeptWhole: it does not cost a node for each of its tokens, unless
// it shares them with many others.
func TestAFilterIsKeptWhole(t *testing.T) {
	var x Index[int]
	for i := range 1000 {
		x.Add(fmt.Sprintf("t%d.b.c.d.e.f.g.h.i.j.k.l.m.n.o.p", i), i)
	}
	require.Equal(t, 1+1000, nodes(&x.root))
	var y Index[int]
	for i := range most {
		y.Add(fmt.Sprintf("a.b.c.d.e.f.g.h.i.j.k.l.m.n.o.p%d", i), i)
	}
	require.Equal(t, 1, nodes(&y.root))
}
