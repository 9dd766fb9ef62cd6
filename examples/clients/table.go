package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

const (
	tableTop = "<!-- clients: go run ./examples/clients -update -->\n"
	tableEnd = "<!-- end of clients -->\n"
)

// table is what README.md has to say of the clients.
func (h *harness) table(rows []*row) (string, error) {
	versions, err := h.versions()
	if err != nil {
		return "", err
	}
	var b strings.Builder
	b.WriteString("| Client | Clean end | 503 | 401 | Server away | A block is cut | 64 KiB | Needs |\n|---|---|---|---|---|---|---|---|\n")
	for _, r := range rows {
		name := r.client.Name
		if r.client.Module != "" {
			name += " " + versions[r.client.Module]
		}
		fmt.Fprintf(&b, "| %s | %s | %s | %s | %s | %s | %s | %s |\n", name, r.clean, r.unavailable, r.unauthorized, r.away, r.cut, r.big, cell(r))
	}
	return b.String(), nil
}

// cell is what a client needs.
func cell(r *row) string {
	var parts []string
	for _, code := range r.needs {
		parts = append(parts, "`"+strings.ReplaceAll(code, "|", `\|`)+"`")
	}
	if r.client.Advice != "" {
		parts = append(parts, r.client.Advice)
	}
	if len(parts) == 0 {
		return "–"
	}
	return strings.Join(parts, "<br>")
}

func (h *harness) print(rows []*row) error {
	text, err := h.table(rows)
	fmt.Fprint(h.out, text)
	return err
}

// readme compares the table of README.md with what was seen, or writes it.
func (h *harness) readme(rows []*row, update bool) error {
	name := filepath.Join(h.root, "README.md")
	text, err := os.ReadFile(name)
	if err != nil {
		return err
	}
	before, rest, ok := strings.Cut(string(text), tableTop)
	found, after, end := strings.Cut(rest, tableEnd)
	if !ok || !end {
		return fmt.Errorf("README.md has no %s", strings.TrimSpace(tableTop))
	}
	want, err := h.table(rows)
	if err != nil {
		return err
	}
	if update {
		return os.WriteFile(name, []byte(before+tableTop+want+tableEnd+after), 0o644)
	}
	return compare(found, want)
}

// compare tells the rows of README.md that are not what was seen.
func compare(found, want string) error {
	if found == want {
		return nil
	}
	var b strings.Builder
	is := strings.Split(found, "\n")
	for i, w := range strings.Split(want, "\n") {
		if i >= len(is) || is[i] != w {
			fmt.Fprintf(&b, "\nseen     %s", w)
			if i < len(is) {
				fmt.Fprintf(&b, "\nREADME   %s", is[i])
			}
		}
	}
	return fmt.Errorf("the table of clients in README.md is not what was seen; after a look at why: go run ./examples/clients -update%s", &b)
}
