package ospf

import "iter"

// A queue is a list of distinct keys in the order they were put in, each with a value. The zero
// value is empty. It keeps the order of outputs independent of any map's.
type queue[K comparable, V any] struct {
	at          map[K]*queued[K, V]
	first, last *queued[K, V]
	most        int // keys since it was last empty: maps do not shrink
}

// keepEmpty is the size up to which the map of an empty queue is kept for the next keys.
const keepEmpty = 32

type queued[K comparable, V any] struct {
	key        K
	value      V
	prev, next *queued[K, V]
}

func (q *queue[K, V]) len() int { return len(q.at) }

func (q *queue[K, V]) get(k K) (*V, bool) {
	if n, ok := q.at[k]; ok {
		return &n.value, true
	}
	return nil, false
}

// put appends k, or moves it to the end.
func (q *queue[K, V]) put(k K, v V) {
	n, ok := q.at[k]
	if ok {
		q.unlink(n)
	} else {
		if q.at == nil {
			q.at = make(map[K]*queued[K, V])
		}
		n = &queued[K, V]{key: k}
		q.at[k] = n
		q.most = max(q.most, len(q.at))
	}
	n.value, n.prev, n.next = v, q.last, nil
	if q.last != nil {
		q.last.next = n
	} else {
		q.first = n
	}
	q.last = n
}

// remove reports whether k was there.
func (q *queue[K, V]) remove(k K) bool {
	n, ok := q.at[k]
	if !ok {
		return false
	}
	q.unlink(n)
	delete(q.at, k)
	if len(q.at) == 0 && q.most > keepEmpty {
		q.clear()
	}
	return true
}

func (q *queue[K, V]) unlink(n *queued[K, V]) {
	if n.prev != nil {
		n.prev.next = n.next
	} else {
		q.first = n.next
	}
	if n.next != nil {
		n.next.prev = n.prev
	} else {
		q.last = n.prev
	}
}

func (q *queue[K, V]) clear() { *q = queue[K, V]{} }

// all walks from the first to the last; the current key may be removed or moved to the end, which ends
// up being visited again.
func (q *queue[K, V]) all() iter.Seq2[K, *V] {
	return func(yield func(K, *V) bool) {
		for n := q.first; n != nil; {
			next := n.next
			if !yield(n.key, &n.value) {
				return
			}
			n = next
		}
	}
}
