package bench

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"
)

// profile looks where the routers' processor time goes under one TCP stream through AES-GCM in UDP.
func (r *run) profile(ctx context.Context) (err error) {
	cores, _ := divide()
	p, err := newPair(filepath.Join(runDir, "profile"), cores)
	defer func() {
		if p != nil {
			err = errors.Join(err, p.close())
		}
	}()
	if err != nil {
		return err
	}
	file := func(site string) string { return filepath.Join(p.dir, site+".pprof") }
	kind := &meshTunnel{
		negotiation: negotiationTable[2], udp: true, binary: r.Binary,
		prefix: []string{WorkerCommand, RouterWorker, file("{SITE}")},
	}
	if err := kind.start(ctx, p); err != nil {
		return err
	}
	f := &flow{path: &path{name: gcmUDP, kind: kind, pair: p, from: endpoint{p.left, leftLAN(0)}, to: endpoint{p.right, rightLAN(0)}}, streams: 1}
	seconds := 20 * time.Second
	if r.Quick {
		seconds = 5 * time.Second
	}
	result, err := f.measure(ctx, seconds)
	if err != nil {
		return err
	}
	sa, err := kind.outbound(ctx)
	if err != nil {
		return err
	}
	load := f.load()
	doc := &Profile{Suite: kind.name2, Mbit: digits(result.mbit)}
	for i, s := range p.sites() {
		s.router.stop() // it writes its profile
		text, err := os.ReadFile(file(s.name))
		if err != nil {
			return fmt.Errorf("the router of %s has left no profile: %w", s.name, err)
		}
		of, err := parseProfile(text)
		if err != nil {
			return err
		}
		side := of.side([]string{"sender", "receiver"}[i], float64(sa.Packets))
		side.Packets, side.CPU = digits(float64(sa.Packets)/seconds.Seconds()), []float64{load.SenderCPU, load.ReceiverCPU}[i]
		doc.Sides = append(doc.Sides, side)
	}
	r.doc.Profile = doc
	r.say("  %.0f Mbit/s, %.0f packets/s, %d stages", doc.Mbit, doc.Sides[0].Packets, len(doc.Sides[0].Stages))
	return nil
}
