package fault

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/http"
	"slices"
	"time"

	"sluice/infra/chaos/world"
)

const (
	// besideTries is how often the edges' consumers are made anew until one is
	// where it is wanted, and besidePause how long an edge takes to notice that
	// its consumer is gone.
	besideTries = 8
	besidePause = 5 * time.Second
	askPatience = 2 * time.Second
)

// partitionBeside cuts off a node of which an edge could believe everything: it
// is connected to it, its consumer is there and gives signs of life, and it
// leads the stream.
func partitionBeside(ctx context.Context, s *Stage, r *rand.Rand) (string, error) {
	i, found, err := s.beside(ctx)
	for try := 1; err == nil && !found && try < besideTries && ctx.Err() == nil; try++ {
		if _, err = s.Stream.RemoveConsumers(ctx); err == nil {
			wait(ctx, besidePause)
			i, found, err = s.beside(ctx)
		}
	}
	if err != nil {
		return "", err
	}
	if !found {
		i, _ = s.leader(ctx, r)
	} else if err := s.Stream.Lead(ctx, i); err != nil {
		return "", err
	}
	n := s.World.Nodes[i]
	defer s.World.Isolate(i)()
	wait(ctx, longCut)
	if !found {
		return n.Name + ", no edge's consumer was there", nil
	}
	return n.Name, nil
}

// beside is the node that has the consumer of an edge which is connected to it.
func (s *Stage) beside(ctx context.Context) (i int, ok bool, err error) {
	consumers, err := s.Stream.Followers(ctx)
	if err != nil {
		return 0, false, err
	}
	for subject, node := range consumers {
		if node >= len(s.World.Nodes) {
			continue
		}
		subjects, err := subscribed(ctx, s.World.Nodes[node])
		if err == nil && slices.Contains(subjects, subject) {
			return node, true, nil
		}
	}
	return 0, false, nil
}

// subscribed is what the clients of a node subscribe to.
func subscribed(ctx context.Context, n *world.Node) (subjects []string, err error) {
	ctx, cancel := context.WithTimeout(ctx, askPatience)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, n.HTTP+"/connz?subs=1", http.NoBody)
	if err != nil {
		return nil, err
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return nil, err
	}
	defer res.Body.Close()
	var said struct {
		Connections []struct {
			Subscriptions []string `json:"subscriptions_list"`
		} `json:"connections"`
	}
	if err := json.NewDecoder(res.Body).Decode(&said); err != nil {
		return nil, fmt.Errorf("connections of %s: %w", n.Name, err)
	}
	for _, c := range said.Connections {
		subjects = append(subjects, c.Subscriptions...)
	}
	return subjects, nil
}
