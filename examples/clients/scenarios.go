package main

import (
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"sluice/publisher/event"
)

const (
	// retryLong is told before a clean end. Whoever is back in half of it does
	// not heed it: a busy machine makes clients later, never earlier.
	retryLong  = 2000
	retryShort = 100
	bigBytes   = 65536
	twoLines   = "a\nb"
)

// block is an event as an edge writes it; one is a short one.
func block(id, typ, data string, retry int) string {
	return fmt.Sprintf("id: %s\nevent: %s\ndata: %s\nretry: %d\n\n", id, typ, strings.ReplaceAll(data, "\n", "\ndata: "), retry)
}

func one(id int, data string) string { return block(strconv.Itoa(id), "data", data, retryShort) }

// open is the block that begins a connection, with the client's cursor.
func open(cursor string) string {
	return block(firstOf(cursor, "11"), "system", `{"type":"open"}`, retryShort)
}

func firstOf(a, b string) string {
	if a != "" {
		return a
	}
	return b
}

// scenario is something that happens to a client. The log begins after event 11.
type scenario struct {
	alone  bool // it tells of a process that ends by itself
	script script
	done   func(view) bool // enough is seen
	tell   func(view) string
}

// What a scenario tells, beside what is told of one scenario only.
const (
	stops  = "stops"
	exits  = "process ends"
	back   = "back"
	silent = "silent"
)

// outcome is the part that all scenarios share.
func outcome(v view, done func(view) bool, then string) string {
	switch {
	case done(v):
		return then
	case v.exited:
		return exits
	case v.gone:
		return stops
	}
	return silent
}

func gets(id string) func(view) bool { return func(v view) bool { return v.got(id) } }

// cleanEnd ends the first two answers well.
var cleanEnd = scenario{
	alone: true,
	script: func(n int, cursor string) answer {
		if n < 3 {
			id := strconv.Itoa(11 + n)
			return answer{body: open(cursor) + block(id, "data", id, retryLong), ending: clean}
		}
		return answer{body: open(cursor) + one(14, "14")}
	},
	done: gets("14"),
	tell: func(v view) string {
		how := back
		for i := 1; i < min(3, len(v.requests)); i++ {
			if v.requests[i].at.Sub(v.requests[i-1].ended) < retryLong/2*time.Millisecond {
				how = back + " at once"
			}
		}
		for i, again := range v.requests[min(1, len(v.requests)):] {
			switch {
			case again.cursor != strconv.Itoa(12+i):
				how += " without its cursor"
			case again.inQuery:
				return outcome(v, gets("14"), how+", cursor in `?lastEventId=`")
			}
		}
		return outcome(v, gets("14"), how)
	},
}

// status answers so, after a connection that was cut; for a client that does not
// come back after that, to its first request.
func status(code int, again int, first bool) scenario {
	from := 2
	if first {
		from = 1
	}
	answers := func(v view) int { return len(v.requests) - from + 1 }
	done, then := gets("13"), back
	if again > 1 {
		done, then = func(v view) bool { return answers(v) >= again }, "asks again"
	}
	return scenario{
		script: func(n int, cursor string) answer {
			switch {
			case n < from:
				return answer{body: open(cursor) + one(12, "12"), ending: cut}
			case n == from, again > 1:
				return answer{status: code, body: `{"error":"scripted","message":"so it is written"}`}
			}
			return answer{body: open(cursor) + one(13, "13")}
		},
		done: done,
		tell: func(v view) string {
			if answers(v) < 1 {
				return unreached
			}
			return outcome(v, done, then)
		},
	}
}

// unreached is told where a client has not come as far as what it was to meet.
const unreached = "unreached"

func unavailable(first bool) scenario { return status(http.StatusServiceUnavailable, 1, first) }
func unauthorized(first bool) scenario {
	return status(http.StatusUnauthorized, 2, first)
}

// away is a server that cuts and then refuses connections for awayTime.
var away = scenario{
	script: func(n int, cursor string) answer {
		if n == 1 {
			return answer{body: open(cursor) + one(12, "12"), ending: leave}
		}
		return answer{body: open(cursor) + one(13, "13")}
	},
	done: gets("13"),
	tell: func(v view) string { return outcome(v, gets("13"), back) },
}

// cutPoints are where the block of event 13 is cut: in its id, after its id line,
// in its data, before its blank line.
var cutPoints = []string{"id: 1", "id: 13\n", "id: 13\nevent: data\ndata: th", "id: 13\nevent: data\ndata: thirteen\nretry: 100\n"}

// What becomes of an event whose block was cut.
const (
	whole  = "gets it whole"
	loses  = "**loses it**"
	halved = "**hands over half**"
	twice  = "gets it twice"
)

// cutAt cuts the connection after that much of the block of event 13.
func cutAt(part string) scenario {
	return scenario{
		script: func(n int, cursor string) answer {
			if n == 1 {
				return answer{body: open(cursor) + one(12, "12"), part: part, ending: cut}
			}
			body := open(cursor)
			switch cursor {
			case "12":
				body += one(13, "thirteen")
			case "13":
			case "", "11":
				body += one(12, "12") + one(13, "thirteen")
			}
			return answer{body: body + one(14, "14")}
		},
		done: gets("14"),
		tell: func(v view) string {
			count := map[string]int{}
			for _, e := range v.events {
				count[e.Data]++
			}
			n := count["12"] + count["thirteen"] + count["14"]
			switch {
			case len(v.events) > n:
				return halved
			case len(v.requests) < 2 || !v.got("14"):
				return outcome(v, gets("14"), whole)
			case count["thirteen"] == 0:
				return loses
			case n > 3:
				return twice
			}
			return whole
		},
	}
}

// worst is what is to be told of several cuts.
func worst(told []string) string {
	var bad []string
	for _, w := range []string{silent, loses, halved, twice, exits, stops} {
		if slices.Contains(told, w) {
			bad = append(bad, w)
		}
	}
	if len(bad) == 0 {
		return whole
	}
	return strings.Join(bad, ", ")
}

// big sends an event of two lines and one of bigBytes.
var big = eventOf(bigBytes)

// largest sends, in its place, the largest event that is published by default.
var largest = eventOf(event.DefaultMaxBytes)

func eventOf(size int) scenario {
	return scenario{
		script: func(_ int, cursor string) answer {
			body := open(cursor)
			switch cursor {
			case "", "11":
				body += one(12, twoLines)
				fallthrough
			case "12":
				body += one(13, strings.Repeat("x", size))
			}
			return answer{body: body + one(14, "14")}
		},
		done: func(v view) bool { return v.got("14") || len(v.requests) > 3 },
		tell: func(v view) string {
			is := map[string]string{}
			for _, e := range v.events {
				is[e.ID] = e.Data
			}
			how := "whole"
			switch {
			case len(is["13"]) == size:
			case len(v.requests) > 3:
				how = "**asks without end**"
			default:
				how = outcome(v, gets("14"), loses)
			}
			if is["12"] != twoLines {
				how += ", of two lines only the last"
			}
			return how
		},
	}
}
