package mutant

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestEditMustMatchOnce makes sure that a bug out of step with the code is noticed.
func TestEditMustMatchOnce(t *testing.T) {
	for _, c := range []struct {
		content, old string
		ok           bool
	}{
		{"a b c", "b", true},
		{"a b b", "b", false},
		{"a c", "b", false},
		{"a", "", false},
		{"", "", false},
	} {
		root := t.TempDir()
		if err := os.WriteFile(filepath.Join(root, "f.go"), []byte(c.content), 0o600); err != nil {
			t.Fatal(err)
		}
		files, err := Apply(root, []Edit{{File: "f.go", Old: c.old, New: "!"}})
		if (err == nil) != c.ok {
			t.Errorf("%q in %q: error %v", c.old, c.content, err)
		}
		if c.ok && files["f.go"] != strings.Replace(c.content, c.old, "!", 1) {
			t.Errorf("%q in %q became %q", c.old, c.content, files["f.go"])
		}
	}
}

// TestRunTest runs one of the tests here, as it is and on a bug that it must find.
func TestRunTest(t *testing.T) {
	test := Test{Package: "internal/mutant", Run: "^TestEditMustMatchOnce$"}
	anyNumber := []Edit{{File: "internal/mutant/mutant.go", Old: "; n != 1 || e.Old", New: "; n < 1 || e.Old"}}
	if failure, err := RunTest(test, nil); failure != "" || err != nil {
		t.Errorf("without a bug: %q, %v", failure, err)
	}
	if failure, err := RunTest(test, anyNumber); !strings.Contains(failure, "TestEditMustMatchOnce") || err != nil {
		t.Errorf("with a bug: %q, %v", failure, err)
	}
	test.Run = "^TestThatIsNotThere$"
	if failure, err := RunTest(test, nil); err == nil {
		t.Errorf("no such test: %q, %v", failure, err)
	}
	test.Package = "internal/notthere"
	if failure, err := RunTest(test, nil); err == nil {
		t.Errorf("no such package: %q, %v", failure, err)
	}
}

func TestCheck(t *testing.T) {
	root := t.TempDir()
	if err := os.WriteFile(filepath.Join(root, "f.go"), []byte("package f\n\nvar a = 1\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		old, new string
		ok       bool
	}{
		{"a = 1", "a = 2", true},
		{"a = 1", "a = 1", false},
		{"a = 1", "a = ", false},
		{"b = 1", "b = 2", false},
	} {
		if err := Check(root, []Edit{{File: "f.go", Old: c.old, New: c.new}}); (err == nil) != c.ok {
			t.Errorf("%q for %q: error %v", c.new, c.old, err)
		}
	}
}
