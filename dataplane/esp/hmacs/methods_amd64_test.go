package hmacs

import "fmt"

// everyImplementation is what the machine has, and each with its kernels forced: always the wide one, or
// never.
func everyImplementation() (list []*implementation) {
	for _, im := range available() {
		list = append(list, im)
		wide, pair := *im, *im
		for h := range im {
			wide[h].from = 1
			if im[h].pair != none {
				pair[h].from = never
			}
		}
		if im[SHA1].wide != none {
			list = append(list, &wide)
		}
		if im[SHA1].pair != none {
			list = append(list, &pair)
		}
	}
	return list
}

// describe names a method for a benchmark.
func describe(m method) string {
	if m.from == never {
		return m.pair.isa()
	}
	return fmt.Sprintf("%s-%s-from-%d", m.wide.isa(), m.pair.isa(), m.from)
}
