package feed_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// knows is what each room may import of this module beside publisher/event, which
// of them know topic sets, and which speak NATS. Whoever adds to it says why in ARCHITECTURE.md.
var knows = map[string]struct {
	rooms  []string
	topics bool
	nats   bool
}{
	"wire":     {},
	"turns":    {},
	"metrics":  {rooms: []string{"wire"}},
	"ring":     {rooms: []string{"wire"}},
	"eventlog": {rooms: []string{"wire"}, nats: true},
	"replay":   {rooms: []string{"eventlog", "metrics", "turns", "wire"}, topics: true},
	"reader":   {rooms: []string{"eventlog", "metrics", "ring", "wire"}},
	"fanout":   {rooms: []string{"metrics", "ring", "wire"}, topics: true},
	".":        {rooms: []string{"eventlog", "fanout", "metrics", "reader", "replay", "ring", "turns", "wire"}, topics: true, nats: true},
}

// TestRoomsKnowOnlyWhatLiesBelow: the imports of the feed's rooms run one way,
// and only eventlog reads NATS; feed itself is only handed the connection.
func TestRoomsKnowOnlyWhatLiesBelow(t *testing.T) {
	const base = "sluice/functions/stream/feed/"
	seen := map[string]bool{}
	eachFile(t, ".", func(file string, f *ast.File) {
		room := path.Dir(file)
		if room == "feedtest" {
			return // for tests only
		}
		seen[room] = true
		may, ok := knows[room]
		require.True(t, ok, "the room %s is not in the table", room)
		for _, spec := range f.Imports {
			what, err := strconv.Unquote(spec.Path.Value)
			require.NoError(t, err)
			if below, ok := strings.CutPrefix(what, base); ok {
				assert.Contains(t, may.rooms, below, "%s imports %s", file, what)
				continue
			}
			if what == "sluice/functions/topics" {
				assert.True(t, may.topics, "%s imports %s", file, what)
			} else if strings.HasPrefix(what, "sluice/") {
				assert.Equal(t, "sluice/publisher/event", what, "%s imports it", file)
			}
			if strings.HasPrefix(what, "github.com/nats-io/nats.go") {
				assert.True(t, may.nats, "%s imports %s", file, what)
			}
		}
	})
	assert.Len(t, seen, len(knows), "rooms that are in the table and not in the tree")
}

// mostFields is how many fields a type may have before it is several things.
const mostFields = 15

// settings are lists by nature.
var settings = []string{"infra/bench/config.go"}

func TestNoTypeIsSeveralThings(t *testing.T) {
	for _, tree := range []string{"functions", "publisher", "natsembed", "infra", "examples"} {
		eachFile(t, "../../../"+tree, func(file string, f *ast.File) {
			if file = path.Join(tree, file); slices.Contains(settings, file) {
				return
			}
			ast.Inspect(f, func(n ast.Node) bool {
				spec, ok := n.(*ast.TypeSpec)
				if !ok {
					return true
				}
				if s, ok := spec.Type.(*ast.StructType); ok {
					assert.LessOrEqual(t, s.Fields.NumFields(), mostFields, "%s: %s", file, spec.Name)
				}
				return true
			})
		})
	}
}

// eachFile gives every file of the tree that is no test, with slashes in its
// name.
func eachFile(t *testing.T, tree string, do func(file string, f *ast.File)) {
	t.Helper()
	fset := token.NewFileSet()
	require.NoError(t, filepath.WalkDir(tree, func(name string, _ fs.DirEntry, err error) error {
		if err != nil || !strings.HasSuffix(name, ".go") || strings.HasSuffix(name, "_test.go") {
			return err
		}
		f, err := parser.ParseFile(fset, name, nil, parser.SkipObjectResolution)
		require.NoError(t, err)
		rel, err := filepath.Rel(tree, name)
		require.NoError(t, err)
		do(filepath.ToSlash(rel), f)
		return nil
	}))
}
