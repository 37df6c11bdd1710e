// Package drills tries drills with the real quorumctl on clusters of real processes.
//
//   - Every scenario passes: scenarios_test.go.
//   - Drills can fail: on servers with planted bugs, and on histories that were tampered with: planted_test.go,
//     tamper_test.go.
//   - What cannot be drilled is refused, and whatever ends a drill, its faults end as well: refuse_test.go, end_test.go.
//   - The same on members in containers, whose network the engine cuts: nothing inside a member takes part in its misfortune,
//     as fault rules do. That cluster is of deploy/docker-compose.yml. `make drills-docker` brings it up, runs the tests that
//     need it, and takes it down; without it they are skipped.
package drills
