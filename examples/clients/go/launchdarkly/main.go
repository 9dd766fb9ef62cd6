// Command launchdarkly is the adapter of github.com/launchdarkly/eventsource.
package main

import (
	"errors"

	"github.com/launchdarkly/eventsource"

	"sluice/examples/clients/go/say"
)

// stopWhenRefused ends the stream where asking again is no use.
func stopWhenRefused(err error) eventsource.StreamErrorHandlerResult {
	say.Error(err)
	var refused eventsource.SubscriptionError
	return eventsource.StreamErrorHandlerResult{
		CloseNow: errors.As(err, &refused) && refused.Code < 500 && refused.Code != 429, // needs
	}
}

func main() {
	url, needs := say.Asked()
	options := []eventsource.StreamOption{
		eventsource.StreamOptionErrorHandler(func(err error) eventsource.StreamErrorHandlerResult {
			say.Error(err)
			return eventsource.StreamErrorHandlerResult{}
		}),
	}
	if needs {
		options = []eventsource.StreamOption{
			eventsource.StreamOptionCanRetryFirstConnection(-1), // needs
			eventsource.StreamOptionErrorHandler(stopWhenRefused),
		}
	}
	stream, err := eventsource.SubscribeWithURL(url, options...)
	if err != nil {
		say.Closed(err)
		return
	}
	for e := range stream.Events {
		say.Event(e.Event(), e.Id(), e.Data())
	}
	say.Closed(nil)
}
