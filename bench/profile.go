package bench

import "context"

func (r *run) profile(context.Context) error { return nil }
