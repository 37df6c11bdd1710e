// Package clients runs code that others wrote for etcd against a cluster of three nodes, unchanged: the packages
// concurrency, leasing, ordering, namespace and mirror of etcd's client, and its client for Kubernetes, used as the storage
// layer of an API server uses it. Where a client promises to survive the loss of a node, the leader is killed meanwhile.
package clients
