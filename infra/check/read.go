package main

import (
	"bytes"
	"context"
	"fmt"
	"maps"
	"os"
	"path"
	"slices"
	"strings"

	"github.com/BurntSushi/toml"
	"github.com/compose-spec/compose-go/v2/cli"
	appsv1 "k8s.io/api/apps/v1"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	"sigs.k8s.io/yaml"
)

func readCompose(file string) (all []container, err error) {
	options, err := cli.NewProjectOptions([]string{file})
	if err != nil {
		return nil, err
	}
	project, err := options.LoadProject(context.Background())
	if err != nil {
		return nil, err
	}
	for name, service := range project.Services {
		if service.Build != nil {
			all = append(all, container{name, slices.Collect(maps.Keys(service.Environment))})
		}
	}
	return all, nil
}

// readManifests reads the documents of a file of Kubernetes or Cloud Run.
func readManifests(file string) (all []container, err error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	for document := range bytes.SplitSeq(text, []byte("\n---\n")) {
		var head struct{ APIVersion, Kind string }
		if err := yaml.Unmarshal(document, &head); err != nil {
			return nil, err
		}
		found, err := readManifest(head.APIVersion+" "+head.Kind, document)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", head.Kind, err)
		}
		for _, c := range found {
			// The image's name, without registry and tag.
			name, _, _ := strings.Cut(path.Base(c.Image), ":")
			var variables []string
			for _, v := range c.Env {
				variables = append(variables, v.Name)
			}
			all = append(all, container{strings.TrimPrefix(name, "sluice-"), variables})
		}
	}
	return all, nil
}

// readManifest reads one document as its kind, and gives its containers.
func readManifest(kind string, document []byte) ([]corev1.Container, error) {
	switch kind {
	case "apps/v1 Deployment":
		var d appsv1.Deployment
		err := yaml.UnmarshalStrict(document, &d)
		return d.Spec.Template.Spec.Containers, err
	case "batch/v1 CronJob":
		var j batchv1.CronJob
		err := yaml.UnmarshalStrict(document, &j)
		return j.Spec.JobTemplate.Spec.Template.Spec.Containers, err
	case "v1 Service":
		return nil, yaml.UnmarshalStrict(document, &corev1.Service{})
	case "policy/v1 PodDisruptionBudget":
		return nil, yaml.UnmarshalStrict(document, &policyv1.PodDisruptionBudget{})
	case "serving.knative.dev/v1 Service": // its containers are Kubernetes'
		var s struct {
			Spec struct {
				Template struct {
					Spec struct{ Containers []corev1.Container }
				}
			}
		}
		err := yaml.Unmarshal(document, &s)
		return s.Spec.Template.Spec.Containers, err
	case "run.googleapis.com/v1 Job":
		var j struct {
			Spec struct {
				Template struct {
					Spec struct {
						Template struct {
							Spec struct{ Containers []corev1.Container }
						}
					}
				}
			}
		}
		err := yaml.Unmarshal(document, &j)
		return j.Spec.Template.Spec.Template.Spec.Containers, err
	}
	return nil, fmt.Errorf("unknown kind %s", kind)
}

// flyConfig has the fields that ours uses, as in Fly's reference.
type flyConfig struct {
	App           string
	PrimaryRegion string `toml:"primary_region"`
	KillSignal    string `toml:"kill_signal"`
	KillTimeout   int    `toml:"kill_timeout"`
	Env           map[string]string
	Processes     map[string]string
	HTTPService   struct {
		Processes          []string
		InternalPort       int    `toml:"internal_port"`
		ForceHTTPS         bool   `toml:"force_https"`
		AutoStopMachines   string `toml:"auto_stop_machines"`
		AutoStartMachines  bool   `toml:"auto_start_machines"`
		MinMachinesRunning int    `toml:"min_machines_running"`
		Concurrency        struct {
			Type      string
			SoftLimit int `toml:"soft_limit"`
			HardLimit int `toml:"hard_limit"`
		}
		HTTPOptions struct {
			IdleTimeout int  `toml:"idle_timeout"`
			H2Backend   bool `toml:"h2_backend"`
		} `toml:"http_options"`
		Checks []struct {
			GracePeriod string `toml:"grace_period"`
			Interval    string
			Timeout     string
			Method      string
			Path        string
		}
	} `toml:"http_service"`
	VM []struct{ Size, Memory string }
}

func readFly(file string) ([]container, error) {
	var config flyConfig
	meta, err := toml.DecodeFile(file, &config)
	if err != nil {
		return nil, err
	}
	if unknown := meta.Undecoded(); len(unknown) > 0 {
		return nil, fmt.Errorf("unknown fields %v", unknown)
	}
	return []container{{"edge", slices.Collect(maps.Keys(config.Env))}}, nil
}
