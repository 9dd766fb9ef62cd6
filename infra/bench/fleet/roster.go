package fleet

// roster is the clients and their counts; the loop owns it.
type roster struct {
	cfg     Config
	clients []client // the readers, then the stuck ones
	tally   *tally

	opened   int
	refused  int
	failed   int
	cut      int
	stuckCut int
	err      error

	awaited int // clients of a storm that have no response yet
}

func newRoster(cfg Config) roster {
	r := roster{cfg: cfg, clients: make([]client, cfg.Clients+cfg.Stuck), tally: newTally(cfg.IDs)}
	for i := range cfg.Clients {
		r.clients[i].topic = cfg.Topic(i)
	}
	return r
}

func (r *roster) stuck(i int) bool { return i >= r.cfg.Clients }

func (r *roster) fail(count *int, err error) {
	*count++
	if r.err == nil {
		r.err = err
	}
}

func (r *roster) counts() Counts {
	c := Counts{
		At:         r.cfg.Now(),
		Deliveries: r.tally.deliveries,
		Bytes:      r.tally.bytes,
		Open:       r.opened,
		Refused:    r.refused,
		Failed:     r.failed,
		Cut:        r.cut,
		StuckCut:   r.stuckCut,
		FirstError: r.err,
		Missing:    r.tally.skipped,
		Again:      r.tally.again,
		BadIDs:     r.tally.badIDs,
	}
	for i := range r.clients[:r.cfg.Clients] {
		c.Missing += uint64(r.lacks(i))
	}
	return c
}

// lacks is how many of the newest events of its topic client i has not got.
func (r *roster) lacks(i int) uint32 {
	c := &r.clients[i]
	if newest := r.cfg.Newest(c.topic); c.next != 0 && newest >= c.next {
		return newest - c.next + 1
	}
	return 0
}

// allHave reports whether every client has had event number seq.
func (r *roster) allHave(seq uint32) bool {
	for i := range r.clients[:r.cfg.Clients] {
		if r.clients[i].next <= seq {
			return false
		}
	}
	return true
}

func (r *roster) reconnected() bool { return r.awaited == 0 }

// rewind makes client i lag: its cursor goes back so many events. It is false
// where the client has not had as many.
func (r *roster) rewind(i int, behind uint32) bool {
	c := &r.clients[i]
	if c.lastID <= uint64(behind) || c.next <= behind {
		return false
	}
	c.lastID -= uint64(behind)
	c.next -= behind
	return true
}
