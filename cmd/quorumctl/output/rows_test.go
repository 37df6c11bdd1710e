package output

import "testing"

func TestSizeText(t *testing.T) {
	for bytes, want := range map[int64]string{
		0: "0 B", 9: "9 B", 10: "10 B", 999: "999 B", 1000: "1.0 kB", 1049: "1.0 kB", 1050: "1.1 kB", 9949: "9.9 kB",
		9950: "10 kB", 10500: "10 kB", 11500: "12 kB", 16384: "16 kB", 24576: "25 kB", 999449: "999 kB",
		999499: "1000 kB", 999999: "1000 kB", 1000000: "1.0 MB", 2147483648: "2.1 GB", 8589934592: "8.6 GB", 1 << 62: "4.6 EB",
	} {
		if got := sizeText(bytes); got != want {
			t.Errorf("sizeText(%d) = %s, want %s", bytes, got, want)
		}
	}
}

func TestFreePercent(t *testing.T) {
	for _, c := range []struct {
		size, inUse int64
		want        string
	}{{0, 0, "0%"}, {100, 100, "0%"}, {100, 0, "100%"}, {24576, 16384, "34%"}, {3, 2, "34%"}, {1 << 40, 1 << 39, "50%"}} {
		if got := freePercent(c.size, c.inUse); got != c.want {
			t.Errorf("freePercent(%d, %d) = %s, want %s", c.size, c.inUse, got, c.want)
		}
	}
}
