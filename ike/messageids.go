package ike

import "slices"

// maxMessageIDs bounds the memory for message ids of one ISAKMP SA; DPD every five seconds from both ends uses as many
// in two days. The SA ends with it.
const maxMessageIDs = 1 << 17

// savedQuickIDs is how many message ids of quick modes a blob holds for one ISAKMP SA.
const savedQuickIDs = 32

// messageIDs are the message ids of the phase 2 exchanges of one ISAKMP SA, of both ends. An id is good once: a message
// does not tell who wrote it, so a recording, or our own message sent back to us, is known by its id alone.
type messageIDs struct {
	ids   []uint32 // sorted
	quick []uint32 // the last ones of quick modes, which a restart must not forget: a replay would make SAs
}

// add uses an id up; it reports false for one that was used before.
func (m *messageIDs) add(id uint32) bool {
	i, known := slices.BinarySearch(m.ids, id)
	if !known {
		m.ids = slices.Insert(m.ids, i, id)
	}
	return !known
}

// addQuick notes that an id that was added is that of a quick mode.
func (m *messageIDs) addQuick(id uint32) {
	if len(m.quick) == savedQuickIDs {
		m.quick = slices.Delete(m.quick, 0, 1)
	}
	m.quick = append(m.quick, id)
}
