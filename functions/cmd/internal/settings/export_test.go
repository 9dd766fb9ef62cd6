package settings

import "github.com/alecthomas/kong"

// Models are the commands as kong sees them.
func Models() (edge, local *kong.Application, err error) {
	e, err := newParser("edge", "", &Edge{})
	if err != nil {
		return nil, nil, err
	}
	l, err := newParser("local", "", &Local{})
	if err != nil {
		return nil, nil, err
	}
	return e.Model, l.Model, nil
}
