// Package settings is the configuration of the commands local and edge: one
// struct each, read from flags, then the environment, then the defaults.
//
// Parse reports everything that is wrong at once, and names for each setting
// how to mend it. A flag is its variable in lower case with dashes: PORT is
// --port. Sizes are in bytes, durations as Go writes them (10s, 5m, 24h).
package settings
