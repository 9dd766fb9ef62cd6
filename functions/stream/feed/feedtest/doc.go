// Package feedtest is what the tests of the feed's rooms share: a Log in a real
// NATS server, a Line to it on which a test sees every message and can take
// single ones out, and a Wire whose blocks are easy to read.
package feedtest
