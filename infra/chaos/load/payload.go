package load

import (
	"encoding/json"
	"fmt"

	"sluice/infra/chaos/oracle"
)

// Topics are the topics of a run, by number. Rare is the last one.
var topics = []string{
	"metric.cpu.a", "metric.cpu.b", "metric.memory.a", "metric.disk.b",
	"order.created.eu", "order.created.us", "order.paid.eu", "order.paid.us",
	"log.error", "log.info", "alert.disk", "alert.rare",
}

// Topics are the topics of a run, by number; the last one is rare.
func Topics() []string { return topics }

// Rare is the number of the topic that is seldom used.
func Rare() int { return len(topics) - 1 }

// padding is what fills an event up, in bytes: enough that a client that does
// not read fills its buffers in some seconds.
const padding = 200

type payload struct {
	Key   oracle.Key `json:"key"`
	Topic int        `json:"topic"`
	Pad   string     `json:"pad"`
}

// Render is the payload of an event. The same event has the same payload.
func Render(key oracle.Key, topic int) []byte {
	pad := make([]byte, padding)
	for i := range pad {
		pad[i] = 'a' + byte((uint64(key)+uint64(i))%26)
	}
	data, err := json.Marshal(payload{key, topic, string(pad)})
	if err != nil {
		panic(err) // of a struct of numbers and letters
	}
	return data
}

// Parse reads what Render wrote, every byte of it.
func Parse(data []byte) (key oracle.Key, topic int, err error) {
	var p payload
	if err := json.Unmarshal(data, &p); err != nil {
		return 0, 0, fmt.Errorf("no event of this run: %w", err)
	}
	if string(Render(p.Key, p.Topic)) != string(data) {
		return 0, 0, fmt.Errorf("event %x is not as it was published", p.Key)
	}
	return p.Key, p.Topic, nil
}
