package natstest

// CheckGoroutinesWithin is CheckGoroutines with less patience.
var CheckGoroutinesWithin = checkGoroutines
