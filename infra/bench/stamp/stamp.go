// Package stamp is the payload of the load: JSON that carries the time at
// which the schedule meant it to be published and its number in its topic, in
// a form that can be found in a response without parsing the events.
//
//	{"m":"EVT1732352352123456789:00000042","pad":"xxx…"}
//
// The marker EVT and the 19 digits after it are also what other load
// generators of this kind look for. All functions are safe for concurrent use
// and none allocates, unless Append is given too small a buffer.
package stamp

import (
	"bytes"
	"encoding/binary"
	"strconv"
)

const (
	atDigits  = 19 // Unix nanoseconds until the year 2286
	seqDigits = 8
	// Bytes is the length of a stamp from its marker to its last digit.
	Bytes = len(marker) + atDigits + 1 + seqDigits
	// MaxSeq is the last number that a topic can give.
	MaxSeq = 99_999_999
	// Around is how many bytes a payload has beside its padding.
	Around = len(`{"m":"`) + Bytes + len(`","pad":""}`)
)

const marker = "EVT"

var markerBytes = []byte(marker)

// Append appends a payload with pad bytes of padding. at is in Unix
// nanoseconds, seq at most MaxSeq.
func Append(b []byte, at int64, seq uint32, pad int) []byte {
	b = append(append(b, `{"m":"`...), marker...)
	b = append(appendPadded(b, uint64(at), atDigits), ':')
	b = append(appendPadded(b, uint64(seq), seqDigits), `","pad":"`...)
	for range pad {
		b = append(b, 'x')
	}
	return append(b, `"}`...)
}

func appendPadded(b []byte, v uint64, width int) []byte {
	var buf [20]byte
	digits := strconv.AppendUint(buf[:0], v, 10)
	for i := len(digits); i < width; i++ {
		b = append(b, '0')
	}
	return append(b, digits...)
}

// Stamp is what a payload says.
type Stamp struct {
	At  int64 // Unix nanoseconds
	Seq uint32
}

// Next finds the first stamp in b: its marker is at start, and end is after its
// last digit. start is -1 where there is none. end is -1 where b ends before the
// stamp does: call Next again from start when more has come.
func Next(b []byte) (s Stamp, start, end int) {
	for from := 0; ; {
		i := bytes.Index(b[from:], markerBytes)
		if i < 0 {
			return s, -1, -1
		}
		start = from + i
		if len(b)-start < Bytes {
			return s, start, -1
		}
		if s, ok := parse(b[start+len(marker) : start+Bytes]); ok {
			return s, start, start + Bytes
		}
		from = start + len(marker)
	}
}

// parse reads what follows the marker.
func parse(b []byte) (s Stamp, ok bool) {
	const high = atDigits - 16
	var top uint64
	for _, c := range b[:high] {
		if c < '0' || c > '9' {
			return s, false
		}
		top = top*10 + uint64(c-'0')
	}
	middle, ok1 := eight(b[high:])
	low, ok2 := eight(b[high+8:])
	seq, ok3 := eight(b[atDigits+1:])
	s.At = int64(top*1e16 + middle*1e8 + low)
	s.Seq = uint32(seq)
	return s, ok1 && ok2 && ok3 && b[atDigits] == ':'
}

// eight reads eight digits at once: pairs, then fours, then all (the method of
// simdjson's parse_eight_digits_unrolled).
func eight(b []byte) (uint64, bool) {
	v := binary.LittleEndian.Uint64(b)
	const zeros, ones = 0x3030303030303030, 0x0606060606060606
	if v&0xf0f0f0f0f0f0f0f0 != zeros || (v+ones)&0xf0f0f0f0f0f0f0f0 != zeros {
		return 0, false
	}
	v = (v & 0x0f0f0f0f0f0f0f0f) * 2561 >> 8
	v = (v & 0x00ff00ff00ff00ff) * 6553601 >> 16
	return (v & 0x0000ffff0000ffff) * 42949672960001 >> 32, true
}
