package bench

import "context"

func (r *run) scale(context.Context) error { return nil }
