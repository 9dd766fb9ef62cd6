package eventlog

// Pull is what Fetch does before it looks at the messages.
var Pull = (*Consumer).pull

// CheckQuorum wants a stream's state to come from the leader of most replicas.
var CheckQuorum = checkQuorum

// Name is the consumer's name.
func (d *deliveries) Name() string { return d.consumer }
