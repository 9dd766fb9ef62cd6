package settings_test

import (
	"flag"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/alecthomas/kong"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"sluice/functions/cmd/internal/settings"
)

var update = flag.Bool("update", false, "write the table of the settings into README.md")

const (
	readme   = "../../../../README.md"
	tableTop = "<!-- settings: go test ./functions/cmd/internal/settings -update -->\n"
	tableEnd = "<!-- end of settings -->\n"
)

// setting is one row of the table.
type setting struct{ name, env, group, def, help string }

func flags(app *kong.Application) (all []setting) {
	for _, f := range app.Flags {
		if len(f.Envs) == 0 {
			continue // --help
		}
		all = append(all, setting{f.Name, f.Envs[0], f.Group.Title, f.Default, f.Help})
	}
	return all
}

// table is what README.md has to say of the settings.
func table(t *testing.T) string {
	t.Helper()
	edge, local, err := settings.Models()
	require.NoError(t, err)
	defaults := func(all []setting, env string) string {
		i := slices.IndexFunc(all, func(s setting) bool { return s.env == env })
		switch {
		case i < 0:
			return "–"
		case all[i].def == "":
			return ""
		}
		return "`" + all[i].def + "`"
	}
	inEdge, inLocal := flags(edge), flags(local)
	all := slices.Clone(inEdge)
	for _, s := range inLocal {
		if !slices.ContainsFunc(inEdge, func(e setting) bool { return e.env == s.env }) {
			all = append(all, s)
		}
	}
	slices.SortStableFunc(all, func(a, b setting) int { return rank(a) - rank(b) })
	var b strings.Builder
	group := ""
	b.WriteString("| Variable | edge | local | |\n|---|---|---|---|\n")
	for _, s := range all {
		if s.group != group {
			group = s.group
			fmt.Fprintf(&b, "| **%s** | | | |\n", group)
		}
		fmt.Fprintf(&b, "| `%s` | %s | %s | %s |\n", s.env, defaults(inEdge, s.env), defaults(inLocal, s.env), s.help)
	}
	return b.String()
}

func rank(s setting) int {
	return slices.Index([]string{"Server", "NATS", "Embedded NATS", "Event log", "Clients"}, s.group)
}

func TestREADMEHasEverySetting(t *testing.T) {
	text, err := os.ReadFile(readme)
	require.NoError(t, err)
	before, rest, ok := strings.Cut(string(text), tableTop)
	require.True(t, ok, "README.md has no line %q", tableTop)
	found, after, ok := strings.Cut(rest, tableEnd)
	require.True(t, ok, "README.md has no line %q", tableEnd)
	if *update {
		require.NoError(t, os.WriteFile(readme, []byte(before+tableTop+table(t)+tableEnd+after), 0o644))
		return
	}
	assert.Equal(t, table(t), found, "run: go test ./functions/cmd/internal/settings -update")
}

func TestFlagsAreNamedLikeTheirVariables(t *testing.T) {
	edge, local, err := settings.Models()
	require.NoError(t, err)
	for _, s := range append(flags(edge), flags(local)...) {
		assert.Equal(t, s.env, strings.ToUpper(strings.ReplaceAll(s.name, "-", "_")))
		assert.NotEmpty(t, s.help)
		assert.GreaterOrEqual(t, rank(s), 0, "group %q has no place in the table", s.group)
	}
}
