package health

import (
	"context"
	"time"
)

// Grace is how much longer than its time to live a record is kept by a Health
// in a hurry when NATS does not say that it expired.
const Grace = 500 * time.Millisecond

// Hurry makes h look often whether the producers' bucket is another one, and
// wait for NATS only shortly.
func Hurry(h *Health) {
	h.producers.check, h.producers.timeout, h.producers.grace = 50*time.Millisecond, 500*time.Millisecond, Grace
}

// Demand is what asks the fleet only while somebody wants to know.
type Demand = demand

var NewDemand = newDemand

func (d *Demand) Run(ctx context.Context)                      { d.run(ctx) }
func (d *Demand) Ask()                                         { d.ask() }
func (d *Demand) Wait(ctx context.Context, most time.Duration) { d.wait(ctx, most) }
