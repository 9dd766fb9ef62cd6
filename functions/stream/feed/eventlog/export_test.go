package eventlog

// Pull is what Fetch does before it looks at the messages.
var Pull = (*Consumer).pull

// Name is the consumer's name.
func (d *deliveries) Name() string { return d.consumer }
