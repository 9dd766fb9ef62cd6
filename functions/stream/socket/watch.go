package socket

// Cutter is whom a Watch tells of a client's close: a fanout.Subscription.
type Cutter interface{ Cut(err error) }
