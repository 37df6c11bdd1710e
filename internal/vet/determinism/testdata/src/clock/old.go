package clock

import "math/rand"

func old() {
	rand.Seed(1)     // want `rand.Seed draws`
	_ = rand.Int63() // want `rand.Int63 draws`
	_ = rand.New(rand.NewSource(1)).Int63()
}
