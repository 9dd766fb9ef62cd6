package report

import (
	"fmt"
	"html"
	"io"
	"math"
	"strings"
	"time"

	"sluice/infra/bench/trial"
)

// The picture's measures, in SVG units.
const (
	width, height = 760, 460
	left, right   = 70, 150
	top, bottom   = 40, 50
)

// colours tell servers apart; dashes tell percentiles apart.
var (
	colours = []string{"#0b6e99", "#c2410c", "#4d7c0f", "#7e22ce"}
	curves  = []struct {
		name, dash string
		of         func(*Row) time.Duration
	}{
		{"p50", "", func(r *Row) time.Duration { return r.Latency.P50 }},
		{"p99", "7 4", func(r *Row) time.Duration { return r.Latency.P99 }},
		{"p99.9", "2 3", func(r *Row) time.Duration { return r.Latency.P999 }},
	}
)

// axis is a logarithmic scale from lo to hi.
type axis struct{ lo, hi, from, to float64 }

func (a axis) at(v float64) float64 {
	return a.from + (math.Log(v)-math.Log(a.lo))/(math.Log(a.hi)-math.Log(a.lo))*(a.to-a.from)
}

// SVG draws latency over the deliveries per second that were asked for: a
// curve per server and percentile, both axes logarithmic. A rate at which
// events were lost beyond a percentile has no point on its curve.
func SVG(w io.Writer, rows []Row) error {
	var servers []string
	byServer := map[string][]*Row{}
	for i := range rows {
		if r := &rows[i]; r.Runs > 0 {
			if byServer[r.Server] == nil {
				servers = append(servers, r.Server)
			}
			byServer[r.Server] = append(byServer[r.Server], r)
		}
	}
	x, y := axes(rows)
	var b strings.Builder
	fmt.Fprintf(&b, `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %d %d" font-family="sans-serif" font-size="12">`+"\n", width, height)
	b.WriteString(`<rect width="100%" height="100%" fill="#ffffff"/>` + "\n")
	fmt.Fprintf(&b, `<text x="%d" y="22" font-size="15">Latency from the scheduled time of publication</text>`+"\n", left)
	grid(&b, x, y)
	for i, name := range servers {
		colour := colours[i%len(colours)]
		for k, c := range curves {
			curve(&b, byServer[name], x, y, colour, c.dash, c.of)
			ly := top + 16*(i*(len(curves)+1)+k)
			fmt.Fprintf(&b, `<line x1="%d" x2="%d" y1="%d" y2="%[3]d" stroke="%s" stroke-width="2" stroke-dasharray="%s"/>`+"\n",
				width-right+14, width-right+44, ly, colour, c.dash)
			fmt.Fprintf(&b, `<text x="%d" y="%d">%s %s</text>`+"\n", width-right+50, ly+4, html.EscapeString(name), c.name)
		}
	}
	b.WriteString("</svg>\n")
	_, err := io.WriteString(w, b.String())
	return err
}

// axes hold all points, and whole powers of ten of milliseconds.
func axes(rows []Row) (x, y axis) {
	x = axis{math.Inf(1), 0, left, width - right}
	y = axis{math.Inf(1), 0, height - bottom, top}
	for i := range rows {
		r := &rows[i]
		if r.Runs == 0 {
			continue
		}
		x.lo, x.hi = min(x.lo, r.Expected), max(x.hi, r.Expected)
		for _, c := range curves {
			if d := c.of(r); d > 0 && d != trial.Never {
				y.lo, y.hi = min(y.lo, milliseconds(d)), max(y.hi, milliseconds(d))
			}
		}
	}
	if !(x.lo < x.hi) { // one rate, or none
		x.lo, x.hi = max(1, min(x.lo, x.hi))/2, max(1, x.hi)*2
	}
	if y.hi == 0 {
		y.lo, y.hi = 1, 10
	}
	y.lo = math.Pow(10, math.Floor(math.Log10(y.lo)))
	y.hi = math.Pow(10, math.Floor(math.Log10(y.hi))+1)
	return x, y
}

func milliseconds(d time.Duration) float64 { return float64(d) / 1e6 }

// grid draws the axes with a line at each 1, 2 and 5.
func grid(b *strings.Builder, x, y axis) {
	line := func(x1, y1, x2, y2 float64) {
		fmt.Fprintf(b, `<line x1="%.1f" y1="%.1f" x2="%.1f" y2="%.1f" stroke="#dddddd"/>`+"\n", x1, y1, x2, y2)
	}
	for v := range marks(y.lo, y.hi) {
		line(x.from, y.at(v), x.to, y.at(v))
		fmt.Fprintf(b, `<text x="%d" y="%.1f" text-anchor="end">%g ms</text>`+"\n", left-6, y.at(v)+4, v)
	}
	for v := range marks(x.lo, x.hi) {
		line(x.at(v), y.from, x.at(v), y.to)
		fmt.Fprintf(b, `<text x="%.1f" y="%d" text-anchor="middle">%s</text>`+"\n", x.at(v), height-bottom+18, count(v))
	}
	fmt.Fprintf(b, `<text x="%d" y="%d" text-anchor="middle">deliveries per second</text>`+"\n", (left+width-right)/2, height-12)
}

// marks are the numbers 1, 2 and 5 times a power of ten from lo to hi.
func marks(lo, hi float64) func(yield func(float64) bool) {
	return func(yield func(float64) bool) {
		for power := math.Pow(10, math.Floor(math.Log10(lo))); power <= hi; power *= 10 {
			for _, digit := range []float64{1, 2, 5} {
				if v := digit * power; v >= lo*0.999 && v <= hi*1.001 && !yield(v) {
					return
				}
			}
		}
	}
}

func curve(b *strings.Builder, rows []*Row, x, y axis, colour, dash string, of func(*Row) time.Duration) {
	var points []string
	for _, r := range rows {
		d := of(r)
		if d <= 0 || d == trial.Never {
			continue
		}
		px, py := x.at(r.Expected), y.at(milliseconds(d))
		points = append(points, fmt.Sprintf("%.1f,%.1f", px, py))
		fmt.Fprintf(b, `<circle cx="%.1f" cy="%.1f" r="3" fill="%s"/>`+"\n", px, py, colour)
	}
	fmt.Fprintf(b, `<polyline points="%s" fill="none" stroke="%s" stroke-width="2" stroke-dasharray="%s"/>`+"\n",
		strings.Join(points, " "), colour, dash)
}
