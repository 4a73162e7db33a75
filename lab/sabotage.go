package lab

// A Fault is something that the lab builds in on purpose, so that its tests see each stage fail for
// what it is there to find.
type Fault struct {
	Name  string // as in Options.Sabotage
	Stage string // the first stage that must not hold
	What  string
}

// The faults.
const (
	namespaceTaken = "namespace-taken"
	wrongPSK       = "wrong-psk"
	routerKilled   = "router-killed"
	wrongSuite     = "wrong-suite"
	greKey         = "gre-key"
	wrongMD5       = "wrong-md5"
	routeWithheld  = "route-withheld"
	hostDown       = "host-down"
	greInClear     = "gre-in-clear"
	markerInClear  = "marker-in-clear"
	noKeyLog       = "no-key-log"
	notCut         = "not-cut"
	noDetour       = "no-detour"
	notMended      = "not-mended"
	leftover       = "leftover"
)

var faultTable = []Fault{
	{namespaceTaken, "netns", "a namespace has the name of the last site already"},
	{wrongPSK, "ike", "the first site has another pre-shared key for its first link"},
	{routerKilled, "ike", "the router of the first site is killed as soon as it runs"},
	{wrongSuite, "esp", "the first site wants another ESP suite on all links"},
	{greKey, "gre", "the first site puts a key into its GRE that nobody expects"},
	{wrongMD5, "ospf", "the first site has another OSPF key"},
	{routeWithheld, "ospf", "the kernel of the first site loses every route to the LAN of the last"},
	{hostDown, "ping", "the LAN host of the last site is unplugged"},
	{greInClear, "wire", "GRE leaves the first site without ESP around it, while pings run"},
	{markerInClear, "wire", "the marker leaves the first site readable, in what looks like ESP"},
	{noKeyLog, "wire", "the key logs lose the ESP keys"},
	{notCut, "cut", "the link to cut is left as it is"},
	{noDetour, "cut", "every link of the site behind the cut is lost"},
	{notMended, "mend", "the cut link stays cut"},
	{leftover, "cleanup", "a namespace is left behind"},
}

// Faults lists the faults that Options.Sabotage knows, in the order of their stages.
func Faults() []Fault { return append([]Fault(nil), faultTable...) }

// faultNamed finds a fault.
func faultNamed(name string) (Fault, bool) {
	for _, f := range faultTable {
		if f.Name == name {
			return f, true
		}
	}
	return Fault{}, false
}
