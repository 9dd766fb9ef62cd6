package settings

import (
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"

	"github.com/alecthomas/kong"
)

// reader reads the values of flags and of their variables. kong itself would
// stop at the first one that cannot be read; reader notes it, and kong goes on
// with the default.
type reader struct {
	getenv func(string) (string, bool)
	flags  map[string]string // the name of each variable's flag
	noted  []*kong.Value     // the flags of wrong
	wrong  []error
}

// watch makes the flags of node and of its commands be read by r.
func (r *reader) watch(node *kong.Node) {
	for _, flag := range node.Flags {
		if len(flag.Envs) == 0 {
			continue // --help
		}
		flag.Tag.Envs = nil // r reads them; flag.Envs stays for the help
		flag.Mapper = &mapper{flag.Mapper, r}
		r.flags[flag.Envs[0]] = flag.Name
	}
	for _, command := range node.Children {
		r.watch(command)
	}
}

// Validate is part of kong.Resolver.
func (*reader) Validate(*kong.Application) error { return nil }

// Resolve is part of kong.Resolver: the value of a flag's variable.
func (r *reader) Resolve(_ *kong.Context, _ *kong.Path, flag *kong.Flag) (any, error) {
	for _, name := range flag.Envs {
		if value := variable(r.getenv, name); value != "" {
			return value, nil
		}
	}
	return nil, nil
}

// variable is the value of a variable. A blank one counts as unset: so do
// templates leave one out.
func variable(getenv func(string) (string, bool), name string) string {
	value, _ := getenv(name)
	if strings.TrimSpace(value) == "" {
		return ""
	}
	return value
}

// readEnvironment notes what cannot be read in the environment, after kong has
// stopped because of err.
func (r *reader) readEnvironment(err error) {
	var stopped *kong.ParseError
	if !errors.As(err, &stopped) || stopped.Context == nil {
		return
	}
	for _, flag := range stopped.Context.Flags() {
		value, _ := r.Resolve(nil, nil, flag)
		if text, ok := value.(string); ok {
			token := kong.Token{Type: kong.FlagValueToken, Value: text}
			_ = flag.Parse(kong.ScanFromTokens(token), reflect.New(flag.Target.Type()).Elem())
		}
	}
}

// mapper is a flag's mapper that notes its errors instead of returning them.
type mapper struct {
	kong.Mapper
	reader *reader
}

// Decode is part of kong.Mapper.
func (m *mapper) Decode(ctx *kong.DecodeContext, target reflect.Value) error {
	flag, text := ctx.Value.Flag, ctx.Scan.Peek()
	if !flag.IsBool() && !text.IsValue() {
		return m.Mapper.Decode(ctx, target) // no value follows the flag: kong's to tell
	}
	err := m.Mapper.Decode(ctx, target)
	if err == nil {
		trim(target)
		return nil
	}
	if !slices.Contains(m.reader.noted, flag.Value) {
		m.reader.noted = append(m.reader.noted, flag.Value)
		help := flag.Help
		if who := origin(m.reader.getenv, flag.Envs[0], text.String()); who != "" {
			help += " " + who
		}
		m.reader.wrong = append(m.reader.wrong, fmt.Errorf("--%s (%s) %q: %w (%s)", flag.Name, flag.Envs[0], text.String(), err, help))
	}
	if !flag.HasDefault {
		return nil
	}
	token := kong.Token{Type: kong.FlagValueToken, Value: flag.Default}
	return m.Mapper.Decode(&kong.DecodeContext{Value: ctx.Value, Scan: kong.ScanFromTokens(token)}, target)
}

// trim removes the spaces that follow the commas of a list.
func trim(list reflect.Value) {
	if texts, ok := list.Interface().([]string); ok {
		for i := range texts {
			texts[i] = strings.TrimSpace(texts[i])
		}
	}
}
