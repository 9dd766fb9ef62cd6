package settings

import "github.com/alecthomas/kong"

// Models are the commands as kong sees them.
func Models() (edge, local, publisher *kong.Application, err error) {
	var models []*kong.Application
	for _, cfg := range []command{&Edge{}, &Local{}, &Publisher{}} {
		parser, err := newParser("", "", cfg)
		if err != nil {
			return nil, nil, nil, err
		}
		models = append(models, parser.Model)
	}
	return models[0], models[1], models[2], nil
}
