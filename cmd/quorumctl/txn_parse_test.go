package main

import (
	"slices"
	"strings"
	"testing"
	"time"
)

func TestSplitWords(t *testing.T) {
	for line, want := range map[string][]string{
		"":                          nil,
		" \t\r\f\n":                 nil,
		"put a b":                   {"put", "a", "b"},
		`put "a b" 'c d'`:           {"put", "a b", "c d"},
		`put "" ''`:                 {"put", "", ""},
		`"\x00\u00fc\n\"" '\n'`:     {"\x00ü\n\"", `\n`},
		`a"b c"`:                    {`a"b`, `c"`}, // a quote within a word is a letter
		`a'b c'd`:                   {`a'b`, "c'd"},
		`"never closed`:             {"never", "closed"}, // one that is never closed is skipped
		`'never closed`:             {"never", "closed"},
		`"a""b"`:                    {"a", "b"},
		`'a'"b"c`:                   {"a", "b", "c"},
		"a\vb c\u00a0d":             {"a\vb", "c\u00a0d"}, // neither separates words
		"\xff \xfe\"":               {"\xff", "\xfe\""},
		`--lease=1f -- -5`:          {"--lease=1f", "--", "-5"},
		`"back\\" "slash"`:          {`back\`, "slash"},
		`"ends in escape\`:          {"ends", "in", `escape\`},
		`put k "v" trailing "extra`: {"put", "k", "v", "trailing", "extra"},
	} {
		got, err := splitWords(line)
		if err != nil || !slices.Equal(got, want) {
			t.Errorf("splitWords(%q) = %q, %v, want %q", line, got, err, want)
		}
	}
	for _, line := range []string{`"\q"`, `put "\x0"`, `"'\'"`} {
		if words, err := splitWords(line); err == nil {
			t.Errorf("splitWords(%q) = %q, want an error", line, words)
		}
	}
}

// FuzzTxn feeds whole transactions to the parser. Whatever a script contains, it is an error or a transaction.
func FuzzTxn(f *testing.F) {
	f.Add("mod(\"a\") > \"0\"\n\nput a \"b\\n\" --lease 1f\nget a b --limit 3\ndel a --prefix\n\n\n")
	f.Add("val(\"a\") != \"\\x00\"\nlease(`a`) < \"zz\"\n\n\n\n")
	f.Add("\nput 'a' \"\nget --help x\n\n\n")
	f.Add("\nget a b --prefix\nget a --prefix --from-key\n\n\n")
	f.Fuzz(func(t *testing.T, script string) {
		var stderr strings.Builder
		a := newApp(strings.NewReader(script), &stderr, &stderr, nil)
		a.sleep = func(time.Duration) {}
		if _, err := a.readTxn(func(string) {}); err != nil && report(&stderr, err) == 0 {
			t.Errorf("an error without exit code: %v", err)
		}
	})
}
