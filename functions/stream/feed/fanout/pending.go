package fanout

// Limits bound what may wait for one client.
type Limits struct {
	Msgs  int   // events
	Bytes int64 // bytes of their blocks; one event always may wait
}

// pending is what a client's socket has not taken. It counts the events that
// come after the socket's first refusal: never the server's own lag, the size
// of one joined write, or what the client had to catch up with.
type pending struct {
	holds   bool   // the client has caught up: the limits hold
	refused bool   // the socket refused bytes, and has not taken all since
	from    uint64 // ring index of the first event that counts
	msgs    int
	bytes   int
}

// hold has the limits hold from now on.
func (p *pending) hold() { p.holds = true }

// suspend is for a client that catches up: nothing counts until hold.
func (p *pending) suspend() { *p = pending{} }

// clear is for a client that has taken everything.
func (p *pending) clear() { *p = pending{holds: p.holds} }

// refuse notes that the socket refused bytes: events from that ring index on
// count. Only the first refusal since clear says anything.
func (p *pending) refuse(from uint64) {
	if p.holds && !p.refused {
		p.refused, p.from = true, from
	}
}

// add counts events that wait since then.
func (p *pending) add(msgs, bytes int) {
	if p.refused {
		p.msgs += msgs
		p.bytes += bytes
	}
}

// take uncounts an event that was written.
func (p *pending) take(index uint64, bytes int) {
	if p.refused && index >= p.from && p.msgs > 0 {
		p.msgs--
		p.bytes -= bytes
	}
}

// over reports whether more waits than may.
func (p *pending) over(l Limits) bool {
	return p.msgs > l.Msgs || p.msgs > 1 && int64(p.bytes) > l.Bytes
}
