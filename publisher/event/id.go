package event

import (
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"

	"github.com/google/uuid"
)

// ID is an event's position in the log. On the wire it is a UUIDv8 (RFC 9562
// section 5.8): 48 bits of Epoch, the version, 12 zero bits, the variant and
// 62 bits of Seq. Ids of one log sort by text as they sort by position.
type ID struct {
	// Epoch tells a recreated stream from the old one: the Unix milliseconds
	// of the stream's creation, or of its metadata "epoch". See Epoch.
	Epoch int64
	// Seq is the JetStream stream sequence; 0 is the position before the
	// first event.
	Seq uint64
}

// Bounds of what an ID can hold.
const (
	MaxEpoch = 1<<48 - 1
	MaxSeq   = 1<<62 - 1
)

// ErrID is what every text that is not an event id of ours gives.
var ErrID = errors.New("not an event id")

// IDBytes is the length of an id as text, in bytes.
const IDBytes = 36

// UUID is the id as 16 bytes.
func (id ID) UUID() (u uuid.UUID) {
	binary.BigEndian.PutUint64(u[:8], uint64(id.Epoch)<<16|0x8000)
	binary.BigEndian.PutUint64(u[8:], id.Seq&MaxSeq|1<<63)
	return u
}

// String is the id in the canonical form of RFC 9562, 36 bytes.
func (id ID) String() string { return string(id.Append(make([]byte, 0, IDBytes))) }

// Append appends what String returns to b; it allocates only when b is full.
func (id ID) Append(b []byte) []byte {
	u := id.UUID()
	b = append(hex.AppendEncode(b, u[:4]), '-')
	b = append(hex.AppendEncode(b, u[4:6]), '-')
	b = append(hex.AppendEncode(b, u[6:8]), '-')
	b = append(hex.AppendEncode(b, u[8:10]), '-')
	return hex.AppendEncode(b, u[10:])
}

// ParseID reads what String wrote; letters may be upper case. Any other text,
// also another kind of UUID, gives an error that wraps ErrID.
func ParseID(s string) (ID, error) {
	if len(s) != IDBytes {
		return ID{}, fmt.Errorf("%w: %d bytes, an id has %d", ErrID, len(s), IDBytes)
	}
	u, err := uuid.Parse(s)
	if err != nil {
		return ID{}, fmt.Errorf("%w: %w", ErrID, err)
	}
	high, low := binary.BigEndian.Uint64(u[:8]), binary.BigEndian.Uint64(u[8:])
	if high&0xffff != 0x8000 || low>>62 != 0b10 {
		return ID{}, fmt.Errorf("%w: not a UUIDv8 of an event log", ErrID)
	}
	return ID{Epoch: int64(high >> 16), Seq: low & MaxSeq}, nil
}
