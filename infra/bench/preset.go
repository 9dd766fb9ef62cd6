package main

import "slices"

// preset is a load with a name.
type preset struct{ name, flags string }

// wide has the pending limits that an operator would set for such rates. The
// machine is so busy at them that the generator itself is later, too.
const wide = " --env PENDING_MSGS=5000 --env PENDING_BYTES=4194304 --max-lag 100ms"

var presets = []preset{
	{"fanout", "--clients 1000 --rate 100"},
	{"dense", "--clients 1000 --rate 1000" + wide},
	{"few", "--clients 100 --rate 10000" + wide},
	{"single", "--clients 1 --rate 50000" + wide},
	{"topics", "--clients 10000 --rate 1000 --topics own"},
	{"idle", "--clients 10000 --rate 1 --duration 20s"},
	{"stuck", "--clients 1000 --rate 100 --stuck 10 --against unstuck"},
	{"storm", "--clients 10000 --rate 10 --storm --max-lag 100ms"},
}

func presetNames() (names []string) {
	for _, p := range presets {
		names = append(names, p.name)
	}
	return names
}

// chosen are the presets of these names.
func chosen(names []string) (some []preset) {
	for _, p := range presets {
		if slices.Contains(names, p.name) || slices.Contains(names, "all") {
			some = append(some, p)
		}
	}
	return some
}
