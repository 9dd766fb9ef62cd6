// Command check reads the deployment files of infra strictly, and wants every
// variable that they set to be a setting of the command that they run. It is a
// module of its own to keep its libraries out of Sluice.
//
//	go run -C infra/check .
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"
)

const (
	root     = "../.." // of the repository
	patience = 5 * time.Minute
)

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// container is what a deployment file runs.
type container struct {
	program   string // edge or publisher
	variables []string
}

func run() error {
	help := map[string]string{}
	for program, args := range map[string][]string{
		"edge":      {"./functions/cmd/edge", "--help"},
		"publisher": {"./publisher/cmd/publisher", "demo", "--help"},
	} {
		text, err := programHelp(args)
		if err != nil {
			return err
		}
		help[program] = text
	}
	var errs []error
	for file, read := range map[string]func(path string) ([]container, error){
		"compose.yaml":              readCompose,
		"cloudrun/service.yaml":     readManifests,
		"cloudrun/job.yaml":         readManifests,
		"kubernetes/edge.yaml":      readManifests,
		"kubernetes/publisher.yaml": readManifests,
		"fly/fly.toml":              readFly,
	} {
		containers, err := read(filepath.Join(root, "infra", file))
		if err == nil {
			err = checkVariables(containers, help)
		}
		if err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", file, err))
			continue
		}
		fmt.Println("ok", file)
	}
	return errors.Join(errs...)
}

func programHelp(args []string) (string, error) {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	c := exec.CommandContext(ctx, "go", append([]string{"run"}, args...)...)
	c.Dir, c.WaitDelay = root, time.Second
	text, err := c.CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("%s: %w: %s", c, err, text)
	}
	return string(text), nil
}

func checkVariables(containers []container, help map[string]string) error {
	if len(containers) == 0 {
		return errors.New("runs nothing of ours")
	}
	for _, c := range containers {
		text, ok := help[c.program]
		if !ok {
			return fmt.Errorf("unknown program %q", c.program)
		}
		for _, name := range c.variables {
			if name != "GOMEMLIMIT" && !strings.Contains(text, "$"+name+")") {
				return fmt.Errorf("%s has no setting %s", c.program, name)
			}
		}
	}
	return nil
}
