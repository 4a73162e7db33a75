package router

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"runtime"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/sync/errgroup"

	"meshrouter/control"
	"meshrouter/dataplane"
	"meshrouter/dataplane/fib"
	"meshrouter/dataplane/underlay"
	"meshrouter/ike"
	"meshrouter/internal/ipv4"
	"meshrouter/internal/loop"
	"meshrouter/keylog"
	"meshrouter/liveness"
	"meshrouter/mesh"
	"meshrouter/ospf"
	"meshrouter/state"
	"meshrouter/tun"
)

// Options are the flags of `meshrouter run`.
type Options struct {
	MeshFile   string
	Site       string
	Socket     string // control socket; empty: /run/meshrouter/SITE.sock
	State      string // restart state; empty: /run/meshrouter/SITE.state, in /dev/shm where /run is on a disk
	KeyLog     string // directory for Wireshark's tables; empty: none
	TUNBackend string // "wireguard" (the default) or "water"
	Version    string // shown by `show summary`
	Logger     *slog.Logger
	Signals    <-chan Signal
}

// A Signal is what the operator asks of a running router.
type Signal int

// The signals.
const (
	Stop   Signal = iota // SIGTERM, SIGINT: tell the peers, take everything away
	Reload               // SIGHUP: read the mesh file again
	Leave                // SIGUSR2: exit, but leave SAs, device and routes for the next process
)

// A FlagError is the value of a flag that cannot be used. Nothing was changed on the machine.
type FlagError struct {
	Flag string // "--state"
	Err  error
}

func (e *FlagError) Error() string { return e.Flag + ": " + e.Err.Error() }

// Unwrap is the cause.
func (e *FlagError) Unwrap() error { return e.Err }

// Router is one running site.
type Router struct {
	opts    Options
	given   struct{ socket, state bool } // by a flag
	log     *slog.Logger
	limited *limitedLogger
	started time.Time

	plan    atomic.Pointer[plan]
	state   *state.File
	keys    *keylog.Log // nil: no key log
	device  *tun.Device
	sockets *underlay.Sockets
	kernel  *kernel
	dp      *dataplane.Engine
	ike     *loop.Loop[ike.Input, ike.Output]
	ospf    *loop.Loop[ospf.Input, ospf.Output]
	// The cores belong to their loops; anybody else asks by Call.
	engine     *ike.Engine
	instance   *ospf.Instance
	pool       errgroup.Group // runs what the cores ask to compute
	computing  chan struct{}  // holds one token for each job that runs
	sas        *saBoard
	routes     *routeBoard
	keepalives *keepaliveBoard
	paths      *pathMTUBoard
	packetID   atomic.Uint32 // numbers OSPF packets, so that their fragments can be told apart

	peersMu sync.Mutex // guards peers
	peers   map[string]peerState
}

// A peerState is the last that IKE said of a link.
type peerState struct {
	state  ike.PeerState
	reason string
}

// mailboxLimit bounds the packets from the network that wait for a protocol loop.
const mailboxLimit = 4096

// Run runs the router of one site until it is told to stop or ctx ends. An error before anything
// was changed on the machine says what to mend.
func Run(ctx context.Context, opts Options) error {
	if err := kernelSupport(); err != nil {
		return err
	}
	inv, err := mesh.LoadSite(opts.MeshFile, opts.Site)
	if err != nil {
		return err
	}
	var given struct{ socket, state bool }
	given.socket, given.state = opts.Socket != "", opts.State != ""
	if opts.Socket == "" {
		opts.Socket = control.SocketPath(opts.Site)
	}
	if opts.State == "" {
		if opts.State, err = statePath(opts.Site); err != nil {
			return err
		}
	}
	r := &Router{opts: opts, given: given, log: opts.Logger.With(slog.String("site", opts.Site)), started: time.Now(), peers: map[string]peerState{}}
	r.limited = &limitedLogger{to: r.log, now: time.Now, kinds: map[string]*limit{}}
	r.plan.Store(newPlan(inv, opts.Site, nil))
	return r.run(ctx)
}

// statePath is where the restart state goes unless told otherwise: keys never reach a disk unasked.
func statePath(site string) (string, error) {
	for _, dir := range []string{"/run", "/dev/shm"} {
		if state.InMemory(dir) {
			return filepath.Join(dir, "meshrouter", site+".state"), nil
		}
	}
	return "", errors.New("neither /run nor /dev/shm is a tmpfs, and the restart state holds keys: mount one, or choose a file with --state")
}

// run opens everything, runs it, and takes it away again in the reverse order.
func (r *Router) run(ctx context.Context) (err error) {
	listener, err := control.Listen(r.opts.Socket) // first: it refuses a second router of this site
	if err != nil {
		if r.given.socket && !errors.Is(err, control.ErrInUse) {
			return &FlagError{"--socket", err}
		}
		return needsRoot(err)
	}
	defer func() { err = errors.Join(err, ignoreClosed(listener.Close())) }()

	if err := r.openState(); err != nil {
		return err
	}
	// What stays for the next process: as long as we do not run, what an earlier one has left.
	leave := r.state.Resumed()
	defer func() {
		if leave {
			err = errors.Join(err, r.state.Close())
		} else {
			err = errors.Join(err, r.state.Remove())
		}
	}()
	if r.opts.KeyLog != "" {
		r.log.Warn("session keys are written to files: whoever reads them reads the traffic", slog.String("directory", r.opts.KeyLog))
		if r.keys, err = keylog.Open(r.opts.KeyLog); err != nil {
			return &FlagError{"--keylog", err}
		}
	}
	p := r.plan.Load()
	if r.sockets, err = underlayOptions(p.site.Offload, r.log).Open(p.site.Bind); errors.Is(err, syscall.EADDRNOTAVAIL) {
		return fmt.Errorf("%w: this host has no such address (%s: is it site %s?)", err, p.site.Source, p.site.Name)
	} else if errors.Is(err, syscall.EADDRINUSE) {
		return fmt.Errorf("%w: another IKE daemon (charon, isakmpd, pluto) or router runs on %s: stop it", err, p.site.Bind)
	} else if err != nil {
		return needsRoot(err)
	}
	defer func() { err = errors.Join(err, ignoreClosed(r.sockets.Close())) }()

	leaveDevice := leave && hasDevice(p.site.TUN)
	r.device, err = tun.Open(r.tunConfig(p))
	if err != nil {
		return err
	}
	defer func() {
		if leaveDevice {
			err = errors.Join(err, ignoreClosed(r.device.Close()))
		} else {
			err = errors.Join(err, ignoreClosed(r.device.Delete()))
		}
	}()
	if r.kernel, err = openKernel(r.device.Name()); err != nil {
		return err
	}
	if err := r.kernel.setup(p.addresses(), p.deviceMTU()); err != nil {
		return err
	}
	defer func() {
		if !leaveDevice {
			err = errors.Join(err, r.kernel.flush())
		}
	}()
	r.replaceDevice(r.device.Name())
	r.logOffloads()
	if err := r.compose(); err != nil {
		return err
	}
	err = r.serve(ctx, listener, &leave)
	leaveDevice = leave
	return err
}

// deviceBlob is the place in the state file for the name of the TUN device. No link can be called so.
const deviceBlob = "/device"

// replaceDevice notes the device, and removes the one of an earlier process that had another name in its
// mesh file: it would hold on to its routes.
func (r *Router) replaceDevice(name string) {
	if old := string(r.state.Blobs()[deviceBlob]); old != "" && old != name {
		if err := tun.Remove(old); err != nil {
			r.log.Warn("the device of an earlier process is left", slog.String("device", old), slog.Any("error", err))
		} else {
			r.log.Info("removed the device of an earlier process", slog.String("device", old))
		}
	}
	if err := r.state.PutBlob(deviceBlob, []byte(name)); err != nil {
		r.problem("state", err)
	}
}

// needsRoot says whose work this is if err is that somebody else tries it.
func needsRoot(err error) error {
	if errors.Is(err, fs.ErrPermission) {
		return fmt.Errorf("%w: run needs root, or the capabilities of contrib/meshrouter@.service", err)
	}
	return err
}

func (r *Router) openState() (err error) {
	if r.state, err = state.Open(r.opts.State, state.Options{}); err != nil {
		if r.given.state && !errors.Is(err, state.ErrInUse) {
			return &FlagError{"--state", err}
		}
		if errors.Is(err, state.ErrInUse) {
			return fmt.Errorf("%w: a router of this site still runs, or is just stopping: stop it, and try again in a moment", err)
		}
		return needsRoot(err)
	}
	for _, remark := range r.state.Remarks() {
		r.log.Warn("restart state", slog.String("file", r.opts.State), slog.String("remark", remark))
	}
	return nil
}

// compose makes the cores and the data plane and gives them the plan. Nothing runs yet.
func (r *Router) compose() error {
	p := r.plan.Load()
	var queues []dataplane.Queue
	for _, q := range r.device.Queues() {
		queues = append(queues, q)
	}
	var err error
	r.dp, err = dataplane.New(dataplane.Config{
		Queues: queues, Underlay: r.sockets, Logger: r.log,
		Handlers: dataplane.Handlers{Control: r.controlPacket, IKE: r.ikeDatagram, Acquire: r.acquire, Moved: r.moved},
	})
	if err != nil {
		return err
	}
	if r.routes, err = newRouteBoard(r.dp, r.kernel, r.log); err != nil {
		return err
	}
	if len(p.site.LAN) > 0 && forwardingOff() {
		r.log.Warn("net.ipv4.ip_forward is 0: the hosts of the LAN cannot use the tunnels; set it with sysctl -w net.ipv4.ip_forward=1")
	}
	r.sas = &saBoard{r: r, sas: map[saKey]*installedSA{}}
	r.keepalives = &keepaliveBoard{r: r, watches: map[string]*liveness.Keepalive{}}
	r.paths = newPathMTUBoard(r)
	r.engine = ike.New(rand.Reader, ike.EngineOptions{})
	r.instance = ospf.New()
	r.ike = loop.New[ike.Input, ike.Output](r.engine, ike.Tick{}, time.Now, r.doIKE)
	r.ospf = loop.New[ospf.Input, ospf.Output](r.instance, ospf.Tick{}, time.Now, r.doOSPF)
	r.ike.Limit(mailboxLimit, func(in ike.Input) bool { _, ok := in.(ike.Datagram); return ok })
	r.ospf.Limit(mailboxLimit, func(in ospf.Input) bool { _, ok := in.(ospf.Packet); return ok })
	r.computing = make(chan struct{}, max(runtime.GOMAXPROCS(0), 2))

	r.setTunnels(nil, p)
	r.routes.setPlan(p)
	r.configureOSPF(p)
	r.restore()
	r.ike.Post(ike.Configure{Config: p.ikeConfig()})
	return nil
}

// configureOSPF gives OSPF its part of the plan. LANs are up from the start; tunnels follow their SAs.
func (r *Router) configureOSPF(p *plan) {
	r.ospf.Post(ospf.Configure{Config: p.ospfConfig(r.state.Sequence() + 1)})
	for _, lan := range p.site.LAN {
		r.ospf.Post(ospf.InterfaceUp{Interface: p.lanInterface(lan).Name})
	}
}

// serve runs everything until it is told to end.
func (r *Router) serve(ctx context.Context, listener net.Listener, leave *bool) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	g, ctx := errgroup.WithContext(ctx)
	// The loops outlive the request to stop, for they have to say goodbye.
	running, stop := context.WithCancel(context.WithoutCancel(ctx))
	defer stop()
	g.Go(func() error { return r.dp.Run(running) })
	g.Go(func() error { return r.ike.Run(running) })
	g.Go(func() error { return r.ospf.Run(running) })
	if err := r.ike.Call(ctx, r.sas.releaseOrphans); err != nil { // after Configure, which restores
		r.problem("restore", err)
	}
	g.Go(func() error { return control.Serve(ctx, listener, control.Handler(r.views())) })
	g.Go(func() error { return r.housekeeping(ctx) })
	g.Go(func() error {
		defer stop()
		defer cancel()
		*leave = r.operate(ctx)
		if *leave {
			r.log.Info("leaving SAs, device and routes to the next process")
			return nil
		}
		r.goodbye()
		return nil
	})
	r.log.Info("running", slog.String("address", r.plan.Load().site.Address.String()), slog.Int("links", len(r.plan.Load().order)),
		slog.String("device", r.device.Name()), slog.String("socket", r.opts.Socket))
	err := g.Wait()
	return errors.Join(err, r.pool.Wait())
}

// operate follows the operator's signals; it returns when it is time to go, and whether to leave
// everything in place.
func (r *Router) operate(ctx context.Context) (leave bool) {
	for {
		select {
		case <-ctx.Done():
			return false
		case s, ok := <-r.opts.Signals:
			switch {
			case !ok || s == Stop:
				return false
			case s == Leave:
				return true
			case s == Reload:
				r.reload(ctx)
			}
		}
	}
}

// goodbyeTimeout bounds what is left to say when stopping.
const goodbyeTimeout = 3 * time.Second

// goodbye tells OSPF neighbors and IKE peers that we stop, and waits until it is sent.
func (r *Router) goodbye() {
	ctx, cancel := context.WithTimeout(context.Background(), goodbyeTimeout)
	defer cancel()
	r.log.Info("stopping")
	r.ospf.Post(ospf.Shutdown{})
	_ = r.ospf.Call(ctx, func() {}) // the LSAs are on their way, or there is no more time
	r.ike.Post(ike.Terminate{})
	_ = r.ike.Call(ctx, func() {})
}

// repairInterval is how often the kernel's routes are compared with ours.
const repairInterval = 10 * time.Second

// housekeeping reports traffic to IKE, and clears up after an earlier process.
func (r *Router) housekeeping(ctx context.Context) error {
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	repair := time.NewTicker(repairInterval)
	defer repair.Stop()
	stale := time.NewTimer(r.staleAfter())
	defer stale.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case now := <-tick.C:
			r.sas.reportTraffic()
			r.keepalives.tick(now)
			r.paths.tick(now)
		case <-repair.C:
			r.routes.repair()
		case <-stale.C:
			r.routes.dropStale()
		}
	}
}

// staleAfter is how long kernel routes of an earlier process may wait for OSPF to confirm them: the
// longest RouterDeadInterval and time for an exchange.
func (r *Router) staleAfter() time.Duration {
	longest := 10 * time.Second
	for _, l := range r.plan.Load().order {
		longest = max(longest, l.Dead)
	}
	return longest + 10*time.Second
}

// controlPacket takes OSPF packets, returned keepalives and answered probes from a tunnel. It runs on a worker of the data plane.
func (r *Router) controlPacket(t fib.TunnelID, packet []byte) {
	l := r.plan.Load().tunnels[t]
	if l == nil {
		return
	}
	h, payload, err := ipv4.Parse(packet)
	if err != nil {
		return
	}
	switch h.Protocol() {
	case protocolOSPF:
		r.ospf.Post(ospf.Packet{Interface: l.Link, Src: h.Src(), Dst: h.Dst(), Payload: append([]byte(nil), payload...)})
	case ipv4.ProtocolGRE:
		r.keepalives.heard(t)
	case ipv4.ProtocolICMP:
		r.paths.heard(time.Now(), t, payload)
	}
}

// ikeDatagram takes ISAKMP messages. It runs on a worker of the data plane.
func (r *Router) ikeDatagram(d dataplane.Datagram) {
	r.ike.Post(ike.Datagram{Local: d.Local, Remote: d.Remote, Payload: append([]byte(nil), d.Payload...)})
}

// acquire asks IKE for an SA that traffic waits for.
func (r *Router) acquire(t fib.TunnelID) {
	if l := r.plan.Load().tunnels[t]; l != nil {
		r.ike.Post(ike.Acquire{Peer: ike.PeerID(l.Link)})
	}
}

// moved follows a peer whose address or port changed behind its NAT.
func (r *Router) moved(t fib.TunnelID, from netip.AddrPort) {
	if l := r.plan.Load().tunnels[t]; l != nil {
		r.ike.Post(ike.RemoteMoved{Peer: ike.PeerID(l.Link), Remote: from})
		r.moveRemote(l.Link, from)
	}
}

// moveRemote lets a tunnel's packets follow its peer.
func (r *Router) moveRemote(link string, to netip.AddrPort) {
	if l := r.plan.Load().links[link]; l != nil {
		r.dp.Update(func(u *dataplane.Update) { u.MoveRemote(l.id, to) })
	}
}

// problem logs something that should not happen and does not end the router.
func (r *Router) problem(where string, err error) {
	r.limited.log(slog.LevelError, where+"/"+err.Error(), "problem", slog.String("where", where), slog.Any("error", err))
}

// ignoreClosed drops the error of closing what is closed already.
func ignoreClosed(err error) error {
	if errors.Is(err, net.ErrClosed) || errors.Is(err, os.ErrClosed) {
		return nil
	}
	return err
}
