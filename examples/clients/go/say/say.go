// Package say is what the Go adapters share. An adapter is run as ADAPTER URL
// [needs], and prints one JSON line for each event, error and end.
package say

import (
	"encoding/json"
	"os"
)

type line struct {
	Event  string  `json:"event,omitempty"`
	ID     string  `json:"id,omitempty"`
	Data   string  `json:"data,omitempty"`
	Error  string  `json:"error,omitempty"`
	Closed *string `json:"closed,omitempty"`
}

// Asked is the URL, and whether to add what the client needs with Sluice.
func Asked() (url string, needs bool) {
	return os.Args[1], len(os.Args) > 2 && os.Args[2] == "needs"
}

// Event says an event.
func Event(typ, id, data string) { put(line{Event: typ, ID: id, Data: data}) }

// Error says why a connection ended or was not made.
func Error(err error) { put(line{Error: err.Error()}) }

// Closed says that the client has given up.
func Closed(why error) {
	text := ""
	if why != nil {
		text = why.Error()
	}
	put(line{Closed: &text})
}

func put(l line) { _ = json.NewEncoder(os.Stdout).Encode(l) }
