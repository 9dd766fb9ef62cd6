package publisher

import (
	"net/url"
	"strings"
)

// ParseServer reads one server of NATS_URL, which may lack its scheme.
func ParseServer(server string) (*url.URL, error) {
	if !strings.Contains(server, "://") {
		server = "nats://" + server
	}
	return url.Parse(server)
}

// RedactServers hides the passwords and tokens in NATS_URL, a comma separated
// list of servers, for logs and errors.
func RedactServers(servers string) string {
	list := strings.Split(servers, ",")
	for i, server := range list {
		u, err := ParseServer(strings.TrimSpace(server))
		if err != nil {
			list[i] = "(not a URL)"
			continue
		}
		if u.User != nil {
			if _, password := u.User.Password(); !password { // a user alone is a token
				u.User = url.User("xxxxx")
			}
		}
		list[i] = u.Redacted()
	}
	return strings.Join(list, ",")
}
