// Package drills runs drills on members in containers, whose network the engine cuts: nothing inside a member takes part in
// its misfortune, as fault rules do.
//
// The cluster is that of deploy/docker-compose.yml. `make drills-docker` brings it up, runs the tests that need it, and takes
// it down; without it they are skipped.
package drills
