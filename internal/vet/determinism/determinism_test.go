package determinism

import (
	"testing"

	"golang.org/x/tools/go/analysis/analysistest"
)

// The packages below testdata/src say in comments what must be reported where. A line without such a comment must pass.
func TestAnalyzer(t *testing.T) {
	for _, name := range []string{"clock", "concurrency", "exceptions", "imports", "iterators", "maprange", "sorted"} {
		t.Run(name, func(t *testing.T) {
			analysistest.Run(t, analysistest.TestData(), Analyzer, name)
		})
	}
}
