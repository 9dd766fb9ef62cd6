package client

import (
	"bufio"
	"io"
	"strconv"
	"strings"
	"time"
)

// block is one dispatched block.
type block struct {
	id    string
	kind  string
	data  string
	retry time.Duration // 0 when it says none
}

// parser reads blocks as WHATWG HTML, section 9.2.6, says. What a connection's
// end cuts off is thrown away.
type parser struct{ lines *bufio.Reader }

func newParser(r io.Reader) *parser { return &parser{bufio.NewReader(r)} }

// next is the next block that has data.
func (p *parser) next() (b block, err error) {
	var data []string
	for {
		line, err := p.lines.ReadString('\n')
		if err != nil {
			return block{}, err
		}
		line = strings.TrimSuffix(strings.TrimSuffix(line, "\n"), "\r")
		if line == "" {
			if len(data) > 0 {
				b.data = strings.Join(data, "\n")
				return b, nil
			}
			b = block{}
			continue
		}
		name, value, _ := strings.Cut(line, ":")
		value = strings.TrimPrefix(value, " ")
		switch name {
		case "id":
			b.id = value
		case "event":
			b.kind = value
		case "data":
			data = append(data, value)
		case "retry":
			if ms, err := strconv.Atoi(value); err == nil {
				b.retry = time.Duration(ms) * time.Millisecond
			}
		}
	}
}
