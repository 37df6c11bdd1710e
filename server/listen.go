package server

import (
	"fmt"
	"net"
	"net/url"
)

// listenAll listens on every URL, or on none of them.
func listenAll(field string, urls []url.URL) ([]net.Listener, error) {
	var ls []net.Listener
	for _, u := range urls {
		network, address := "tcp", u.Host
		if u.Scheme == "unix" {
			network, address = "unix", u.Host+u.Path
		}
		l, err := net.Listen(network, address)
		if err != nil {
			closeAll(ls)
			return nil, fmt.Errorf("%s %s: %w", field, u.String(), err)
		}
		ls = append(ls, l)
	}
	return ls, nil
}

func closeAll(ls []net.Listener) {
	for _, l := range ls {
		l.Close()
	}
}

// announced is what the rest of the world is told: port 0 stands for the one that the listener in the same place got.
func announced(urls []url.URL, ls []net.Listener) []string {
	out := make([]string, len(urls))
	for i, u := range urls {
		if a, ok := tcpAddr(ls, i); ok && u.Port() == "0" {
			u.Host = net.JoinHostPort(u.Hostname(), fmt.Sprint(a.Port))
		}
		out[i] = u.String()
	}
	return out
}

func tcpAddr(ls []net.Listener, i int) (*net.TCPAddr, bool) {
	if i >= len(ls) {
		return nil, false
	}
	a, ok := ls[i].Addr().(*net.TCPAddr)
	return a, ok
}
