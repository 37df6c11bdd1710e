package peerpb

// Boot names one run of a member's process, for good.
type Boot struct {
	// Incarnation was drawn when the data directory was made.
	Incarnation [16]byte
	// Epoch is raised in the data directory, durably, before each run says anything. Nonce, random, tells two runs apart
	// that raised it to the same number, in two copies of one directory.
	Epoch, Nonce uint64
}

// Hello is what a run of a member says of itself before anything else. It is fixed when the files are opened.
type Hello struct {
	Boot
	// Runs are the nonces of the last runs of this directory, the newest, this one's, last. 0 stands for one that said nothing.
	Runs []uint64
	// Term is the stored one, and Last where the log ended, as found at the start. Both hold all that earlier runs promised.
	Term, Last uint64
	// Repairing says that the log is known to have lost entries: Last says nothing then.
	Repairing bool
}

// Refusal is why somebody may not speak for a member, for good.
type Refusal string

func (r Refusal) Error() string { return string(r) }
