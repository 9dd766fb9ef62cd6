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

	"sluice/functions/settings"
)

var update = flag.Bool("update", false, "write the table of the settings into README.md")

const (
	readme   = "../../README.md"
	tableTop = "<!-- settings: go test ./functions/settings -update -->\n"
	tableEnd = "<!-- end of settings -->\n"
)

// setting is a flag of a command.
type setting struct{ name, env, group, def, help string }

func flags(node *kong.Node) (all []setting) {
	for _, f := range node.Flags {
		if len(f.Envs) == 0 {
			continue // --help
		}
		group := ""
		if f.Group != nil {
			group = f.Group.Title
		}
		all = append(all, setting{f.Name, f.Envs[0], group, f.Default, f.Help})
	}
	return all
}

// row is a line of the table: a setting that means the same in its commands.
type row struct {
	setting
	of    string            // the publisher's command that alone has it, or ""
	given map[string]string // default by command
}

// group is the order of the groups in the table; the settings of the
// publisher's jobs are in none.
var groups = []string{"Server", "NATS", "Embedded NATS", "Event log", "Clients", "Access", "Limits", "Publishing over HTTP", "Publishing", jobs}

const jobs = "Publishing: demo, host and stdin"

// rows are all settings, each once where commands share it.
func rows(t *testing.T) []*row {
	t.Helper()
	edge, local, publisher, err := settings.Models()
	require.NoError(t, err)
	var all []*row
	add := func(command, of string, flags []setting) {
		for _, s := range flags {
			i := slices.IndexFunc(all, func(r *row) bool { return r.env == s.env && r.help == s.help && r.of == of })
			if i < 0 {
				i = len(all)
				all = append(all, &row{setting: s, of: of, given: map[string]string{}})
			}
			all[i].given[command] = s.def
		}
	}
	add("edge", "", flags(edge.Node))
	add("local", "", flags(local.Node))
	add("publisher", "", flags(publisher.Node))
	for _, node := range publisher.Children {
		for _, s := range flags(node) {
			s.group = jobs
			of := ""
			if s.env == "COUNT" || s.env == "RATE" { // each job has its own
				of = node.Name
			}
			add("publisher", of, []setting{s})
		}
	}
	slices.SortStableFunc(all, func(a, b *row) int { return rank(a.setting) - rank(b.setting) })
	return all
}

func rank(s setting) int { return slices.Index(groups, s.group) }

// table is what README.md has to say of the settings.
func table(t *testing.T) string {
	t.Helper()
	var b strings.Builder
	group := ""
	b.WriteString("| Variable | edge | local | publisher | |\n|---|---|---|---|---|\n")
	for _, r := range rows(t) {
		if r.group != group {
			group = r.group
			fmt.Fprintf(&b, "| **%s** | | | | |\n", group)
		}
		fmt.Fprintf(&b, "| `%s`", r.env)
		if flag := "--" + r.name; flag != flagOf(r.env) {
			fmt.Fprintf(&b, ", `%s`", flag)
		}
		if r.of != "" {
			fmt.Fprintf(&b, " of `%s`", r.of)
		}
		for _, command := range []string{"edge", "local", "publisher"} {
			switch def, has := r.given[command]; {
			case !has:
				b.WriteString(" | –")
			case def == "":
				b.WriteString(" | ")
			default:
				fmt.Fprintf(&b, " | `%s`", def)
			}
		}
		fmt.Fprintf(&b, " | %s |\n", r.help)
	}
	return b.String()
}

func flagOf(env string) string { return "--" + strings.ToLower(strings.ReplaceAll(env, "_", "-")) }

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
	assert.Equal(t, table(t), found, "run: go test ./functions/settings -update")
}

func TestFlagsAreNamedLikeTheirVariables(t *testing.T) {
	short := map[string]string{"PUBLISH_TIMEOUT": "--timeout", "PRODUCER_NAME": "--name", "EVENT_TYPE": "--type", "SLUICE_JOB_ID": "--job-id"}
	for _, r := range rows(t) {
		want := flagOf(r.env)
		if name, ok := short[r.env]; ok {
			want = name
		}
		assert.Equal(t, want, "--"+r.name)
		assert.NotEmpty(t, r.help)
		assert.GreaterOrEqual(t, rank(r.setting), 0, "group %q has no place in the table", r.group)
	}
}
