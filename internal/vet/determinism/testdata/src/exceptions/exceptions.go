// Package exceptions excuses violations, rightly and wrongly.
package exceptions

import "time"

func excused() {
	_ = time.Now() //determinism:ok on the line
	//determinism:ok on the line above
	_ = time.Now()
	// A longer explanation may stand above.
	//determinism:ok and one excuses all of a line
	_, _ = time.Now(), time.Now()

	//determinism:ok for the whole loop
	for k := range map[int]int{} {
		println(k)
	}
}

func not() {
	_ = time.Now() //determinism:ok // want `time.Now` `exception without a reason`
	//determinism:ok    // want `exception without a reason`
	_ = time.Now() // want `time.Now`
	_ = 1          //determinism:ok nothing to excuse // want `exception that excuses nothing`
	//determinism:ok too far above // want `excuses nothing`

	_ = time.Now() // want `time.Now`
	_ = 2          //determinism:ok not for the line below // want `excuses nothing`
	_ = time.Now() // want `time.Now`
	//determinism:okay then // want `unknown directive //determinism:okay`
	_ = time.Now() // want `time.Now`
	// determinism:ok with a space it is prose
	_ = time.Now() // want `time.Now`
	//determinism:ok once
	_ = time.Now() //determinism:ok twice // want `second exception for one line`
}
