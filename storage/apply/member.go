package apply

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"

	"go.etcd.io/etcd/api/v3/membershippb"
	"go.etcd.io/raft/v3/raftpb"
)

// Member is one process of the cluster. The JSON form is etcd's, in the bucket members and elsewhere.
type Member struct {
	ID         uint64   `json:"id"`
	PeerURLs   []string `json:"peerURLs"`
	Learner    bool     `json:"isLearner,omitempty"`
	Name       string   `json:"name,omitempty"`
	ClientURLs []string `json:"clientURLs,omitempty"`
}

// ErrMalformedMembers means that bytes are not an encoded list of members.
var ErrMalformedMembers = errors.New("malformed member list")

// EncodeMembers returns a list of members as bytes, the same whatever the order they are given in.
func EncodeMembers(members []Member) []byte {
	return mustJSON(byID(members))
}

// DecodeMembers is the inverse of [EncodeMembers]. The list is in order of ids.
func DecodeMembers(data []byte) ([]Member, error) {
	var members []Member
	if err := json.Unmarshal(data, &members); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrMalformedMembers, err)
	}
	members = byID(members)
	for i := range members {
		if members[i].ID == 0 || i > 0 && members[i].ID == members[i-1].ID {
			return nil, fmt.Errorf("member id %x: %w", members[i].ID, ErrMalformedMembers)
		}
	}
	return members, nil
}

// setAttributes changes what a member says about itself: its name and where clients find it.
func (m *Machine) setAttributes(req *membershippb.ClusterMemberAttrSetRequest) (Response, error) {
	i, ok := findMember(m.members, req.GetMember_ID())
	if !ok {
		return Response{}, ErrMemberNotFound
	}
	members := slices.Clone(m.members) // views hold the old list
	members[i].Name = req.GetMemberAttributes().GetName()
	members[i].ClientURLs = slices.Clone(req.GetMemberAttributes().GetClientUrls())
	m.members, m.membersDirty = members, true
	m.history.member(&members[i])
	return Response{Revision: m.kv.Revision()}, nil
}

// confStateOf returns the raft configuration of a cluster that starts with members.
func confStateOf(members []Member) *raftpb.ConfState {
	cs := &raftpb.ConfState{AutoLeave: new(false)}
	for i := range members {
		if members[i].Learner {
			cs.Learners = append(cs.Learners, members[i].ID)
		} else {
			cs.Voters = append(cs.Voters, members[i].ID)
		}
	}
	return cs
}

func byID(members []Member) []Member {
	members = slices.Clone(members)
	slices.SortStableFunc(members, func(a, b Member) int { return cmp.Compare(a.ID, b.ID) })
	return members
}

func findMember(members []Member, id uint64) (int, bool) {
	return slices.BinarySearchFunc(members, id, func(m Member, id uint64) int { return cmp.Compare(m.ID, id) })
}

// key is the member's key in the bucket members.
func (m *Member) key() []byte { return strconv.AppendUint(nil, m.ID, 16) }

func (m *Member) encode() []byte { return mustJSON(m) }

// mustJSON encodes values whose types always have a JSON form.
func mustJSON(v any) []byte {
	b, err := json.Marshal(v)
	if err != nil {
		panic(fmt.Sprintf("encode %T: %v", v, err))
	}
	return b
}
