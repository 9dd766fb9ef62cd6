package fault

import (
	"context"
	"fmt"
	"math/rand/v2"
	"time"
)

const (
	burst     = 2000
	crowd     = 300
	crowdStay = 5 * time.Second
)

// crowds are too much of what is well otherwise.
func crowds() []Fault {
	return []Fault{
		{"flood-events", fmt.Sprintf("%d events are published at once", burst), 3 * time.Second, floodEvents},
		{"flood-clients", fmt.Sprintf("%d clients come at once, stay for 5 s and go", crowd), crowdStay, floodClients},
	}
}

func floodEvents(ctx context.Context, s *Stage, r *rand.Rand) (string, error) {
	return "", s.Load.Burst(ctx, burst, r)
}

func floodClients(ctx context.Context, s *Stage, _ *rand.Rand) (string, error) {
	return "", s.Crowd(ctx, crowd, crowdStay)
}
