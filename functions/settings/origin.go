package settings

import (
	"fmt"
	"strings"
)

// origin tells who else sets the variable env to such a value, and what to do
// about it; "" when that is not known, or the value is not the variable's.
func origin(getenv func(string) (string, bool), env, value string) string {
	if value == "" || variable(getenv, env) != value {
		return ""
	}
	service, isPort := strings.CutSuffix(env, "_PORT")
	switch {
	case isPort && (strings.HasPrefix(value, "tcp://") || strings.HasPrefix(value, "udp://")):
		return fmt.Sprintf("Kubernetes sets %s for a service named %s: set it in the container too, or enableServiceLinks: false in the pod",
			env, strings.ToLower(strings.ReplaceAll(service, "_", "-")))
	case env == "HOST" && (value == variable(getenv, "CONDA_TOOLCHAIN_HOST") || strings.Contains(value, "-conda-")):
		return "conda sets HOST for its compilers: unset it, or give --host"
	default:
		return ""
	}
}
