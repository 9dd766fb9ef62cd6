// Package streamtest gives tests a whole edge: feed, handler and a real HTTP
// server on 127.0.0.1, and clients that read it as the WHATWG rules say and can
// be cut at any byte. Edges in processes of their own are the command's: see
// functions/cmd/edge.
//
// A Log publishes events and knows what JetStream stored; a Journal is what one
// client saw over all its connections. Comparing the two is the promise of
// Sluice: each once, in order, none missing, or a gap that says so.
//
// Everything ends with the test that started it.
package streamtest
