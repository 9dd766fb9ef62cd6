package sse_test

import (
	"strings"
	"unicode/utf8"
)

// dispatched is one event as an EventSource gives it to its page.
type dispatched struct {
	id, typ, data string
	retry         string // the last valid retry field up to here, "" for none
}

// parseWHATWG interprets a stream as WHATWG HTML, section 9.2.6, says, step by
// step: the yardstick that shares no code with the encoder.
func parseWHATWG(stream string) []dispatched {
	if !utf8.ValidString(stream) {
		stream = strings.ToValidUTF8(stream, "\uFFFD")
	}
	stream = strings.TrimPrefix(stream, "\uFEFF")
	var (
		events                    []dispatched
		data                      strings.Builder
		typ, idBuffer, lastID     string
		retry                     string
		lines, unterminatedRemain = splitLines(stream)
	)
	_ = unterminatedRemain // an incomplete line at the end is discarded
	for _, line := range lines {
		if line == "" {
			lastID = idBuffer
			if data.Len() > 0 {
				if typ == "" {
					typ = "message"
				}
				events = append(events, dispatched{lastID, typ, strings.TrimSuffix(data.String(), "\n"), retry})
			}
			data.Reset()
			typ = ""
			continue
		}
		field, value, _ := strings.Cut(line, ":")
		value = strings.TrimPrefix(value, " ")
		switch field {
		case "event":
			typ = value
		case "data":
			data.WriteString(value + "\n")
		case "id":
			if !strings.Contains(value, "\x00") {
				idBuffer = value
			}
		case "retry":
			if value != "" && strings.Trim(value, "0123456789") == "" {
				retry = value
			}
		}
	}
	return events
}

// splitLines splits at CRLF, LF and CR; rest is what no line end ends.
func splitLines(s string) (lines []string, rest string) {
	start := 0
	for i := 0; i < len(s); i++ {
		switch s[i] {
		case '\n':
			lines = append(lines, s[start:i])
			start = i + 1
		case '\r':
			lines = append(lines, s[start:i])
			if i+1 < len(s) && s[i+1] == '\n' {
				i++
			}
			start = i + 1
		}
	}
	return lines, s[start:]
}
