package topics

import "strings"

// Intersect is the filter of the topics that both filters match; false when there
// are none. It is always one filter: each token is the narrower of the two.
func Intersect(a, b string) (string, bool) {
	var out []string
	for {
		at, aRest, aMore := strings.Cut(a, ".")
		bt, bRest, bMore := strings.Cut(b, ".")
		switch {
		case at == ">":
			return strings.Join(append(out, b), "."), true
		case bt == ">":
			return strings.Join(append(out, a), "."), true
		case aMore != bMore:
			return "", false
		case at == "*":
			out = append(out, bt)
		case bt == "*" || at == bt:
			out = append(out, at)
		default:
			return "", false
		}
		if !aMore {
			return strings.Join(out, "."), true
		}
		a, b = aRest, bRest
	}
}

// overlap reports whether some topic matches both filters.
func overlap(a, b string) bool {
	for {
		at, aRest, aMore := strings.Cut(a, ".")
		bt, bRest, bMore := strings.Cut(b, ".")
		switch {
		case at == ">" || bt == ">":
			return true
		case at != bt && at != "*" && bt != "*":
			return false
		case !aMore || !bMore:
			return aMore == bMore
		}
		a, b = aRest, bRest
	}
}

// widen is a filter that covers a and b.
func widen(a, b string) string {
	var out []string
	for {
		at, aRest, aMore := strings.Cut(a, ".")
		bt, bRest, bMore := strings.Cut(b, ".")
		switch {
		case at == ">" || bt == ">" || aMore != bMore:
			return strings.Join(append(out, ">"), ".")
		case at == bt:
			out = append(out, at)
		default:
			out = append(out, "*")
		}
		if !aMore {
			return strings.Join(out, ".")
		}
		a, b = aRest, bRest
	}
}
