package main

import (
	"encoding/json"
	"net/http"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"sluice/functions/access"
	"sluice/functions/describe"
	"sluice/functions/stream"
	"sluice/functions/stream/sse"
)

// document is what these tests read of an OpenAPI document.
type document struct {
	OpenAPI string
	Paths   map[string]map[string]struct {
		Parameters []struct{ Name, In string }
		Responses  map[string]struct {
			Content map[string]struct {
				Schema struct {
					AllOf []struct {
						Properties struct{ Error struct{ Enum []access.Code } }
					}
				}
			}
		}
	}
}

// codes are those of a path's refusals, each with its status.
func (d *document) codes(path, method string) map[access.Code]string {
	all := map[access.Code]string{}
	for status, r := range d.Paths[path][method].Responses {
		for _, part := range r.Content["application/json"].Schema.AllOf {
			for _, code := range part.Properties.Error.Enum {
				all[code] = status
			}
		}
	}
	return all
}

func (d *document) parameters(path, method, in string) (names []string) {
	for _, p := range d.Paths[path][method].Parameters {
		if p.In == in {
			names = append(names, p.Name)
		}
	}
	return names
}

// TestTheAPIIsDescribed as it is: paths, parameters, headers and codes of the code,
// of /openapi.json and of README.md are the same.
func TestTheAPIIsDescribed(t *testing.T) {
	t.Parallel()
	var d document
	require.NoError(t, json.Unmarshal(describe.OpenAPI, &d))
	text, err := os.ReadFile("../../../README.md")
	require.NoError(t, err)
	readme := string(text)

	assert.ElementsMatch(t, stream.Parameters(), d.parameters("/stream", "get", "query"))
	assert.Equal(t, []string{"topic"}, d.parameters("/publish", "post", "query"))
	for _, names := range [][]string{
		d.parameters("/stream", "get", "query"), d.parameters("/stream", "get", "header"), d.parameters("/publish", "post", "header"),
	} {
		for _, name := range names {
			assert.True(t, regexp.MustCompile("[`?&]"+regexp.QuoteMeta(name)+"[`=:]").MatchString(readme), "README.md on %s", name)
		}
	}
	for path, want := range map[string][]access.Code{"/stream": access.StreamCodes, "/publish": access.PublishCodes} {
		method := map[string]string{"/stream": "get", "/publish": "post"}[path]
		got := d.codes(path, method)
		for _, code := range want {
			assert.NotEmpty(t, got[code], "%s of %s is not described", code, path)
		}
		for code := range got {
			assert.Contains(t, want, code, "%s is described and none of %s", code, path)
			assert.True(t, strings.Contains(readme, "`"+string(code)+"`"), "README.md on %s", code)
		}
	}

	e := newRig(t).edge(t, "FUNCTIONS", "stream,health,console,publish")
	var described []string
	for path, methods := range d.Paths {
		for method := range methods {
			described = append(described, strings.ToUpper(method)+" "+path)
			if path == "/stream" {
				method = http.MethodHead
			}
			assert.NotContains(t, []int{http.StatusNotFound, http.StatusMethodNotAllowed}, e.Do(strings.ToUpper(method), path).Status, path)
		}
	}
	var told []string
	for _, row := range regexp.MustCompile("(?m)^\\| `((?:GET|POST) /[^|]*)` \\|").FindAllStringSubmatch(readme, -1) {
		method, _, _ := strings.Cut(row[1], " ")
		for path := range strings.SplitSeq(strings.TrimPrefix(row[1], method+" "), "`, `") {
			told = append(told, method+" "+path)
		}
	}
	slices.Sort(told)
	slices.Sort(described)
	assert.Equal(t, described, told)
	assert.Equal(t, "3.1.0", d.OpenAPI)
	assert.JSONEq(t, string(describe.OpenAPI), e.Do(http.MethodGet, "/openapi.json").Body)
	assert.JSONEq(t, string(describe.AsyncAPI), e.Do(http.MethodGet, "/asyncapi.json").Body)
}

// TestTheBlocksAreDescribed: each kind of block that an edge writes by itself.
func TestTheBlocksAreDescribed(t *testing.T) {
	t.Parallel()
	var d struct {
		AsyncAPI   string
		Components struct {
			Messages map[string]struct {
				Payload struct {
					Properties map[string]struct{ Enum []string }
				}
			}
		}
	}
	require.NoError(t, json.Unmarshal(describe.AsyncAPI, &d))
	assert.Equal(t, "3.0.0", d.AsyncAPI)
	system := d.Components.Messages["system"].Payload.Properties
	assert.ElementsMatch(t, []string{sse.SystemOpen, sse.SystemGap, sse.SystemDrain, sse.SystemExpired, sse.SystemBusy}, system["type"].Enum)
	var fields map[string]any
	full, err := json.Marshal(sse.System{Type: "x", Message: "x", Resumed: "x", Reason: "x", Requested: "x", First: "x", Compacted: true})
	require.NoError(t, err)
	require.NoError(t, json.Unmarshal(full, &fields))
	for name := range fields {
		assert.Contains(t, system, name)
	}
	assert.Len(t, system, len(fields))
}
