package publish_test

import (
	"context"
	"testing"

	cloudevents "github.com/cloudevents/sdk-go/v2"
	"github.com/cloudevents/sdk-go/v2/binding"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"sluice/natsembed/natstest"
)

// TestTheGoSDKSends CloudEvents in its two forms, and repeats them without harm.
func TestTheGoSDKSends(t *testing.T) {
	r, _ := onServer(t)
	client, err := cloudevents.NewClientHTTP(cloudevents.WithTarget(r.url + "/publish"))
	require.NoError(t, err)
	e := cloudevents.NewEvent()
	e.SetID("1")
	e.SetSource("/shop")
	e.SetType("order.created")
	e.SetSubject("orders/17")
	require.NoError(t, e.SetData(cloudevents.ApplicationJSON, map[string]int{"order": 17}))
	for _, form := range []func(context.Context) context.Context{binding.WithForceBinary, binding.WithForceStructured} {
		result := client.Send(form(natstest.Context(t)), e)
		assert.True(t, cloudevents.IsACK(result), "%v", result)
	}
	log := r.log()
	require.Len(t, log, 1)
	assert.Equal(t, stored{log[0].ID, "orders.17", "order.created", `{"order":17}`}, log[0])
	e.SetType("heartbeat")
	e.SetID("2")
	assert.True(t, cloudevents.IsNACK(client.Send(natstest.Context(t), e)), "a type that is reserved")
}
