package bench

import (
	"cmp"
	"fmt"
	"html"
	"math"
	"slices"
	"strings"
)

// The colors of plots and flame graphs.
var (
	lineColorTable  = []string{"#1b6ca8", "#c8553d", "#588157"}
	flameColorTable = []string{"#f2a65a", "#eec170", "#f58549", "#e5989b", "#ddb892", "#f4d35e"}
)

// A drawing is an SVG in the making.
type drawing struct {
	strings.Builder
}

func newDrawing(width, height int) *drawing {
	d := &drawing{}
	d.put(`<svg xmlns="http://www.w3.org/2000/svg" width="%d" height="%d" viewBox="0 0 %d %d" font-family="sans-serif" font-size="12">`, width, height, width, height)
	d.put(`<rect width="100%%" height="100%%" fill="white"/>`)
	return d
}

func (d *drawing) put(format string, args ...any) { _, _ = fmt.Fprintf(d, format+"\n", args...) }

// text writes at a place; anchor is start, middle or end.
func (d *drawing) text(x, y float64, anchor, format string, args ...any) {
	d.put(`<text x="%.1f" y="%.1f" text-anchor="%s">%s</text>`, x, y, anchor, html.EscapeString(fmt.Sprintf(format, args...)))
}

func (d *drawing) line(x1, y1, x2, y2 float64, style string) {
	d.put(`<line x1="%.1f" y1="%.1f" x2="%.1f" y2="%.1f" %s/>`, x1, y1, x2, y2, style)
}

func (d *drawing) end() []byte {
	d.put("</svg>")
	return []byte(d.String())
}

// A bar is one value with its spread.
type bar struct {
	name string
	Sample
	mark  float64 // where the bound is; 0: nowhere
	short bool    // it falls short of it
}

// plotBars draws a bar for each ratio, with p10 and p90 as a whisker, a line at 1 and a mark at the bound.
// The scale is logarithmic, so that twice as fast and half as fast look alike.
func plotBars(title string, bars []bar) []byte {
	const left, right, top, row = 330, 70, 44, 24
	const width = 860
	least, most := 0.5, 2.0
	for _, b := range bars {
		for _, v := range []float64{b.P10, b.P90, b.mark} {
			if v > 0 {
				least, most = min(least, v), max(most, v)
			}
		}
	}
	low, high := math.Log(least*0.9), math.Log(most*1.1)
	x := func(v float64) float64 {
		return left + (math.Log(max(v, least*0.9))-low)/(high-low)*(width-left-right)
	}
	d := newDrawing(width, top+row*len(bars)+30)
	d.text(10, 20, "start", "%s", title)
	bottom := float64(top + row*len(bars))
	for v := math.Pow(2, math.Ceil(math.Log2(least*0.9))); v <= most*1.1; v *= 2 {
		d.line(x(v), top-6, x(v), bottom, `stroke="#dddddd"`)
		d.text(x(v), bottom+16, "middle", "%g", v)
	}
	d.line(x(1), top-6, x(1), bottom, `stroke="#555555"`)
	for i, b := range bars {
		y := float64(top + row*i)
		d.text(left-8, y+14, "end", "%s", b.name)
		from, to := min(x(1), x(b.Median)), max(x(1), x(b.Median))
		color := lineColorTable[0]
		if b.short {
			color = lineColorTable[1]
		}
		d.put(`<rect x="%.1f" y="%.1f" width="%.1f" height="14" fill="%s"/>`, from, y+3, to-from, color)
		d.line(x(b.P10), y+10, x(b.P90), y+10, `stroke="black"`)
		if b.mark > 0 {
			d.line(x(b.mark), y, x(b.mark), y+20, `stroke="#2a9134" stroke-width="3"`)
		}
		d.text(max(to, x(b.P90))+6, y+14, "start", "%s", number2(b.Median))
	}
	return d.end()
}

// plotCurves draws cost over n, both axes logarithmic.
func plotCurves(title string, curves []Curve) []byte {
	const width, height, left, right, top, bottom = 760, 420, 60, 20, 44, 40
	n, least, most := 2, 1.0, 1.0
	for _, c := range curves {
		for i := range c.N {
			n, least, most = max(n, c.N[i]), min(least, c.Cost[i]), max(most, c.Cost[i])
		}
	}
	x := func(v int) float64 {
		return left + math.Log(float64(v))/math.Log(float64(n))*(width-left-right)
	}
	low, high := math.Log(least*0.9), math.Log(most*1.1)
	y := func(v float64) float64 {
		return top + (high-math.Log(v))/(high-low)*(height-top-bottom)
	}
	d := newDrawing(width, height)
	d.text(10, 20, "start", "%s", title)
	for v := 1; v <= n; v *= 2 {
		d.line(x(v), top, x(v), height-bottom, `stroke="#dddddd"`)
		d.text(x(v), height-bottom+16, "middle", "%d", v)
	}
	for v := math.Pow(2, math.Ceil(math.Log2(least*0.9))); v <= most*1.1; v *= 2 {
		d.line(left, y(v), width-right, y(v), `stroke="#dddddd"`)
		d.text(left-6, y(v)+4, "end", "%g", v)
	}
	d.line(left, y(1), width-right, y(1), `stroke="#555555"`)
	for i, c := range curves {
		if len(c.N) == 0 {
			continue
		}
		points := make([]string, len(c.N))
		for j := range c.N {
			points[j] = fmt.Sprintf("%.1f,%.1f", x(c.N[j]), y(c.Cost[j]))
		}
		color := lineColorTable[i%len(lineColorTable)]
		d.put(`<polyline points="%s" fill="none" stroke="%s" stroke-width="2"/>`, strings.Join(points, " "), color)
		d.put(`<text x="%d" y="%d" text-anchor="end" fill="%s">%s</text>`, width-right-6, top+16+16*i, color, html.EscapeString(c.Name))
	}
	return d.end()
}

// A frame is a function in a flame graph with what it called.
type frame struct {
	name     string
	share    float64
	children []*frame
}

func (f *frame) child(name string) *frame {
	for _, c := range f.children {
		if c.name == name {
			return c
		}
	}
	c := &frame{name: name}
	f.children = append(f.children, c)
	return c
}

// plotFlame draws a flame graph: a function lies on its caller and is as wide as its share of the time.
func plotFlame(title string, stacks []FoldedStack) []byte {
	root := &frame{name: "all"}
	depth := 0
	for _, s := range stacks {
		at := root
		at.share += s.Share
		names := strings.Split(s.Stack, ";")
		depth = max(depth, len(names))
		for _, name := range names {
			at = at.child(name)
			at.share += s.Share
		}
	}
	const width, row, top = 1200, 17, 34
	d := newDrawing(width, top+row*(depth+1)+8)
	d.text(10, 20, "start", "%s", title)
	d.put(`<g font-size="11">`)
	if root.share > 0 {
		d.flame(root, root.share, 0, width, 0, float64(top+row*depth), row)
	}
	d.put(`</g>`)
	return d.end()
}

func (d *drawing) flame(f *frame, all, x, width float64, level int, y, row float64) {
	const least = 0.5 // pixels; what is narrower cannot be seen
	if width < least {
		return
	}
	label := fmt.Sprintf("%s, %.2f %%", f.name, 100*f.share/all)
	d.put(`<g><title>%s</title><rect x="%.1f" y="%.1f" width="%.1f" height="%.1f" fill="%s" stroke="white" stroke-width="0.5"/>`,
		html.EscapeString(label), x, y, width, row-1, flameColorTable[(len(f.name)+level)%len(flameColorTable)])
	if fits := int(width / 6.2); fits > 3 {
		name := f.name
		if len(name) > fits {
			name = name[:fits-2] + ".."
		}
		d.text(x+3, y+12, "start", "%s", name)
	}
	d.put(`</g>`)
	slices.SortStableFunc(f.children, func(a, b *frame) int { return cmp.Compare(a.name, b.name) })
	for _, c := range f.children {
		w := width * c.share / f.share
		d.flame(c, all, x, w, level+1, y-row, row)
		x += w
	}
}
