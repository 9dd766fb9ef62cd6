// Package source makes the events that a publisher job publishes: Demo invents
// them, Host measures this machine, Lines reads them as NDJSON. Limit and Pace
// wrap any of them.
//
// A source is used by one goroutine. Next blocks at most until its context
// ends.
package source

import "sluice/publisher"

// sources implement what publisher.Run takes.
var (
	_ publisher.Source = (*Demo)(nil)
	_ publisher.Source = (*Host)(nil)
	_ publisher.Source = (*Lines)(nil)
	_ publisher.Source = (*limited)(nil)
	_ publisher.Source = (*paced)(nil)
)
