// Package imports imports what is not allowed.
package imports

import (
	_ "crypto/rand" // want `import of crypto/rand, which is not seeded`
	_ "crypto/sha256"
	_ "io/fs"
	_ "math/rand/v2"
	_ "net"         // want `import of net, which reaches the network`
	_ "net/netip"   // want `import of net/netip`
	_ "os"          // want `import of os, which reaches the operating system`
	_ "os/signal"   // want `import of os/signal`
	renamed "sync"  // want `import of sync, which needs more than one goroutine`
	_ "sync/atomic" // want `import of sync/atomic`
	_ "time"

	//determinism:ok an exception at an import
	_ "os/user"
)

var _ renamed.Mutex
