// Package settings is the configuration of the commands local, edge and
// publisher: one struct each, read from flags, then the environment, then the
// defaults.
//
// Parsing reports everything that is wrong at once, and names for each setting
// how to mend it. A flag is its variable in lower case with dashes: PORT is
// --port; four of the publisher's are shorter. A blank variable counts as
// unset. Sizes are in bytes, durations as Go writes them (10s, 5m, 24h).
//
// A default that a package has for a zero field is a constant of that package,
// and the tags here take it from there (vars). All other defaults stand in the
// tags alone.
package settings
