// Package logging is how the commands log: so that neither a flood of what is
// logged nor who reads it costs a client anything.
package logging
