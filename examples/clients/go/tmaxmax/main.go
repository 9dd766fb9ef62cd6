// Command tmaxmax is the adapter of github.com/tmaxmax/go-sse.
package main

import (
	"net/http"

	"github.com/tmaxmax/go-sse"

	"sluice/examples/clients/go/say"
)

func main() {
	url, needs := say.Asked()
	request, err := http.NewRequest(http.MethodGet, url, http.NoBody)
	if err != nil {
		say.Closed(err)
		return
	}
	connection := sse.NewConnection(request)
	if needs {
		connection.Buffer(nil, 1<<20) // needs
	}
	connection.SubscribeToAll(func(e sse.Event) { say.Event(e.Type, e.LastEventID, e.Data) })
	say.Closed(connection.Connect())
}
