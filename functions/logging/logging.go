package logging

import (
	"io"
	"log/slog"
	"os"

	"golang.org/x/term"
)

// Format is how records look.
type Format int

const (
	// Auto is text on a terminal, JSON elsewhere.
	Auto Format = iota
	// Text is key=value.
	Text
)

// New logs to w. Whoever logs does not wait for w: what w does not take in time is
// dropped, and told in its place. flush is called once, at the end of the process;
// it waits for what is left, at most a second.
func New(w io.Writer, level slog.Level, f Format) (logger *slog.Logger, flush func()) {
	late := newWriter(w)
	straight := slog.New(handler(w, w, level, f))
	late.lost = func(records int) {
		straight.Warn("log records were dropped: who reads the log does not keep up", "records", records)
	}
	late.start()
	return slog.New(handler(late, w, level, f)), late.close
}

// handler writes records to w as they are to look on out.
func handler(w, out io.Writer, level slog.Level, f Format) slog.Handler {
	o := &slog.HandlerOptions{Level: level, ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr {
		if a.Value.Kind() == slog.KindDuration { // JSON would have nanoseconds
			a.Value = slog.StringValue(a.Value.Duration().String())
		}
		return a
	}}
	if file, ok := out.(*os.File); f == Text || ok && term.IsTerminal(int(file.Fd())) {
		return slog.NewTextHandler(w, o)
	}
	return slog.NewJSONHandler(w, o)
}
