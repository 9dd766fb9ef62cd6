package limit

// Remembered is how many addresses are remembered for their new streams.
func Remembered(l *Limits) int { return l.arrivals.Len() }

// Held is how many addresses, subjects and topic sets have open streams.
func Held(l *Limits) int { return len(l.addresses) + len(l.subjects) + len(l.sets) }
