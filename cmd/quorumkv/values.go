package main

import (
	"fmt"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/quorumkv/quorumkv/server"
)

// value reads and writes one field of a configuration as text.
type value interface {
	Set(text string) error
	String() string
}

type textValue struct{ p *string }

func (v textValue) Set(s string) error { *v.p = s; return nil }
func (v textValue) String() string     { return *v.p }

type switchValue struct{ p *bool }

func (v switchValue) Set(s string) error {
	b, err := strconv.ParseBool(s)
	if err != nil {
		return fmt.Errorf("want true or false")
	}
	*v.p = b
	return nil
}
func (v switchValue) String() string { return strconv.FormatBool(*v.p) }

type integer interface {
	~int64 | ~uint | ~uint32 | ~uint64
}

// numberValue takes what Go's literals allow: 4096, 0x1000, 1_572_864.
type numberValue[T integer] struct{ p *T }

func (v numberValue[T]) Set(s string) error {
	var n T
	var ok bool
	if m, err := strconv.ParseInt(s, 0, 64); err == nil {
		n, ok = T(m), (m >= 0) == (T(m) >= 0) && int64(T(m)) == m
	} else if m, err := strconv.ParseUint(s, 0, 64); err == nil {
		n, ok = T(m), T(m) > 0 && uint64(T(m)) == m
	} else {
		return fmt.Errorf("want a whole number")
	}
	if !ok {
		return fmt.Errorf("out of range")
	}
	*v.p = n
	return nil
}
func (v numberValue[T]) String() string { return fmt.Sprint(*v.p) }

// durationValue takes "20s". Bare integers have a meaning in configuration files only; see file.go.
type durationValue struct{ p *time.Duration }

func (v durationValue) Set(s string) error {
	d, err := time.ParseDuration(s)
	if err != nil {
		return fmt.Errorf("want a duration with its unit, such as 500ms, 20s or 2h")
	}
	*v.p = d
	return nil
}
func (v durationValue) String() string { return v.p.String() }

// millisValue takes "100ms" and, as etcd, a bare number of milliseconds.
type millisValue struct{ p *time.Duration }

func (v millisValue) Set(s string) error {
	if n, err := strconv.ParseInt(s, 0, 64); err == nil {
		if limit := int64(time.Hour / time.Millisecond); n > limit || n < -limit {
			return fmt.Errorf("a bare number counts milliseconds here, and this is over an hour: give the unit, such as 100ms")
		}
		*v.p = time.Duration(n) * time.Millisecond
		return nil
	}
	d, err := time.ParseDuration(s)
	if err != nil {
		return fmt.Errorf("want milliseconds, such as 100, or a duration, such as 100ms or 1s")
	}
	*v.p = d
	return nil
}
func (v millisValue) String() string { return v.p.String() }

// listValue takes words separated by commas; repeats are dropped.
type listValue struct{ p *[]string }

func (v listValue) Set(s string) error { *v.p = splitList(s); return nil }
func (v listValue) String() string     { return strings.Join(*v.p, ",") }

// urlsValue takes URLs separated by commas; repeats are dropped. Whether an address makes sense is for
// server.Config.Validate to say.
type urlsValue struct{ p *[]url.URL }

func (v urlsValue) Set(s string) error {
	var urls []url.URL
	for _, word := range splitList(s) {
		u, err := parseURL(word)
		if err != nil {
			return err
		}
		urls = append(urls, u)
	}
	*v.p = urls
	return nil
}

func (v urlsValue) String() string {
	words := make([]string, len(*v.p))
	for i, u := range *v.p {
		words[i] = u.String()
	}
	return strings.Join(words, ",")
}

// membersValue takes NAME=URL pairs separated by commas. A name may stand several times, once for each of its URLs.
type membersValue struct{ p *[]server.InitialMember }

func (v membersValue) Set(s string) error {
	var members []server.InitialMember
	for _, word := range splitList(s) {
		name, address, ok := strings.Cut(word, "=")
		if !ok || name == "" || address == "" {
			return fmt.Errorf("want NAME=URL,NAME=URL, but one part is %q", word)
		}
		u, err := parseURL(address)
		if err != nil {
			return err
		}
		i := slices.IndexFunc(members, func(m server.InitialMember) bool { return m.Name == name })
		if i < 0 {
			i = len(members)
			members = append(members, server.InitialMember{Name: name})
		}
		members[i].PeerURLs = append(members[i].PeerURLs, u)
	}
	*v.p = members
	return nil
}

func (v membersValue) String() string {
	var words []string
	for _, m := range *v.p {
		for _, u := range m.PeerURLs {
			words = append(words, m.Name+"="+u.String())
		}
	}
	return strings.Join(words, ",")
}

func splitList(s string) []string {
	var words []string
	for word := range strings.SplitSeq(s, ",") {
		if word = strings.TrimSpace(word); word != "" && !slices.Contains(words, word) {
			words = append(words, word)
		}
	}
	return words
}

func parseURL(s string) (url.URL, error) {
	u, err := url.Parse(s)
	if err != nil || u.Scheme == "" || u.Opaque != "" {
		return url.URL{}, fmt.Errorf("%q is not a URL such as http://127.0.0.1:2379", s)
	}
	return *u, nil
}
