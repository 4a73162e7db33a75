# Common functions of the peer scripts; source it, do not run it.
# Everything hangs off one bridge, br0, in the namespace $PEERS_PREFIX-wire: a
# peer is a namespace (or a QEMU guest) with one leg on that bridge.
# shellcheck shell=bash
set -euo pipefail
: "${PEERS_PREFIX:=mr}"                                        # namespace prefix
: "${PEERS_STATE:=${TMPDIR:-/tmp}/meshrouter-peers-$PEERS_PREFIX}" # pids, logs, sockets
: "${PEERS_CACHE:=${XDG_CACHE_HOME:-${HOME:-/root}/.cache}/meshrouter-peers}"
wire=$PEERS_PREFIX-wire

die() { echo "${0##*/}: $*" >&2; exit 1; }
need() { local c; for c; do command -v "$c" >/dev/null || die "missing command: $c"; done; }
ns() { echo "$PEERS_PREFIX-$1"; }
in_ns() { local n; n=$(ns "$1"); shift; ip netns exec "$n" "$@"; }
have_ns() { ip netns list | awk '{print $1}' | grep -qx "$1"; }

# wire_up: the shared Ethernet segment
wire_up() {
  mkdir -p "$PEERS_STATE"
  (
    flock 7
    have_ns "$wire" && exit
    ip netns add "$wire"
    ip -n "$wire" link set lo up
    ip netns exec "$wire" sysctl -qw net.ipv6.conf.all.disable_ipv6=1
    ip -n "$wire" link add br0 type bridge mcast_snooping 0
    ip -n "$wire" link set br0 up
  ) 7>"$PEERS_STATE/wire.lock"
}

# wire_down: remove the segment once nothing is plugged into it
wire_down() {
  have_ns "$wire" || return 0
  [ -z "$(ip -n "$wire" -o link show master br0)" ] || return 0
  ip netns del "$wire"
  rm -f "$PEERS_STATE/wire.lock"
  rmdir "$PEERS_STATE" 2>/dev/null || true
}

# ns_up NAME CIDR: namespace with eth0 (address CIDR) on the wire
ns_up() {
  local n; n=$(ns "$1")
  wire_up
  have_ns "$n" && die "$n already exists (run: down $1)"
  ip netns add "$n"
  ip -n "$wire" link add "v-$1" type veth peer name eth0 netns "$n"
  ip -n "$wire" link set "v-$1" master br0 up
  ip -n "$n" link set lo up
  ip -n "$n" addr add "$2" dev eth0
  ip -n "$n" link set eth0 up
  ip netns exec "$n" sysctl -qw net.ipv6.conf.all.disable_ipv6=1 net.ipv4.ip_forward=1 net.ipv4.conf.all.rp_filter=0 \
    net.ipv4.conf.eth0.rp_filter=0
  mkdir -p "$PEERS_STATE/$1"
}

# lan_up NAME CIDR: a stub network, lan0 (this kernel has no dummy interfaces)
lan_up() {
  local n; n=$(ns "$1")
  ip -n "$n" link add lan0 type veth peer name lan0p
  ip -n "$n" addr add "$2" dev lan0
  ip -n "$n" link set lan0 up
  ip -n "$n" link set lan0p up
}

# ns_down NAME: stop what was started there, then remove namespace and state
ns_down() {
  stop_all "$1"
  if have_ns "$(ns "$1")"; then ip netns del "$(ns "$1")"; fi
  ip -n "$wire" link del "v-$1" 2>/dev/null || true
  rm -rf "${PEERS_STATE:?}/$1"
  wire_down
}

# start NAME LABEL CMD...: run CMD in the namespace in the background, keep its pid
start() {
  local d=$PEERS_STATE/$1 n; n=$(ns "$1")
  local label=$2; shift 2
  setsid ip netns exec "$n" "$@" >"$d/$label.out" 2>&1 </dev/null &
  echo $! >"$d/$label.pid"
}

# alive PID: it exists, and not as a zombie that init has not buried yet
alive() { grep -q '^State:[[:space:]]*[^ZX[:space:]]' "/proc/$1/status" 2>/dev/null; }

# stop_one NAME LABEL [SIGNAL]: stop the process start recorded under that label, if it still runs in a
# namespace of ours (the number may belong to someone else by now)
stop_one() {
  local f=$PEERS_STATE/$1/$2.pid p i
  [ -e "$f" ] || return 0
  p=$(cat "$f"); rm -f "$f"
  [[ $(ip netns identify "$p" 2>/dev/null) == "$PEERS_PREFIX"-* ]] || return 0
  kill -s "${3:-TERM}" "$p" 2>/dev/null || return 0
  for i in $(seq 60); do alive "$p" || return 0; sleep 0.05; done
  kill -9 "$p" 2>/dev/null || true
}

# stop_all NAME: stop every process recorded under NAME
stop_all() {
  local f
  for f in "$PEERS_STATE/$1"/*.pid; do
    [ ! -e "$f" ] || stop_one "$1" "$(basename "$f" .pid)"
  done
}

# wait_for SECONDS CMD...: poll until CMD succeeds
wait_for() {
  local t=$((SECONDS + $1)); shift
  until "$@" >/dev/null 2>&1; do
    [ $SECONDS -lt $t ] || return 1
    sleep 0.2
  done
}
