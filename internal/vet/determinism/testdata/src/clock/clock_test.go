package clock

import "time"

func inTest() { go time.Sleep(1) }
