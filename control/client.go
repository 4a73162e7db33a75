package control

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"net/url"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

const (
	answerTimeout = 10 * time.Second // a router that takes longer is stuck
	maxAnswer     = 256 << 20        // bytes: a database of 16,000 routers is a tenth of it
)

// A Client asks one router. Its methods may be called from several goroutines.
type Client struct {
	path string
	http *http.Client
}

// Dial returns a client of the router that listens on the socket at path. It connects with each
// request, not before.
func Dial(path string) *Client {
	dial := func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "unix", path)
	}
	return &Client{path, &http.Client{
		Timeout:   answerTimeout,
		Transport: &http.Transport{DialContext: dial, DisableKeepAlives: true},
	}}
}

// Get fetches the document of a view into the value that into points to; a *json.RawMessage takes
// it as it came.
func (c *Client) Get(ctx context.Context, view string, into any) error {
	body, err := c.fetch(ctx, prefix+"/"+url.PathEscape(view))
	if err != nil {
		return err
	}
	if err := json.Unmarshal(body, into); err != nil {
		return fmt.Errorf("the answer of %s to %q is not what this version expects: %w", c.path, view, err)
	}
	return nil
}

// Views lists the views that the router has.
func (c *Client) Views(ctx context.Context) ([]string, error) {
	body, err := c.fetch(ctx, prefix)
	if err != nil {
		return nil, err
	}
	var doc index
	if err := json.Unmarshal(body, &doc); err != nil {
		return nil, fmt.Errorf("%s does not answer like a meshrouter: %w", c.path, err)
	}
	return doc.Views, nil
}

func (c *Client) fetch(ctx context.Context, path string) ([]byte, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://meshrouter"+path, nil)
	if err != nil {
		return nil, err
	}
	resp, err := c.http.Do(req)
	if err != nil {
		return nil, c.explain(err)
	}
	defer resp.Body.Close() //nolint:errcheck // read-only
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer+1))
	if err != nil {
		return nil, fmt.Errorf("the answer of %s broke off: %w", c.path, err)
	}
	if len(body) > maxAnswer {
		return nil, fmt.Errorf("the answer of %s is larger than %d bytes", c.path, maxAnswer)
	}
	if resp.StatusCode != http.StatusOK {
		var f failure
		if json.Unmarshal(body, &f) != nil || f.Error == "" {
			f.Error = "HTTP status " + resp.Status
		}
		return nil, fmt.Errorf("meshrouter at %s: %s", c.path, f.Error)
	}
	return body, nil
}

// explain says what a failure to connect means and what to do.
func (c *Client) explain(err error) error {
	site := strings.TrimSuffix(filepath.Base(c.path), ".sock")
	switch {
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, syscall.ECONNREFUSED):
		return fmt.Errorf("no meshrouter runs for site %s here (nobody answers on %s): start it with meshrouter run --mesh FILE --site %s", site, c.path, site)
	case errors.Is(err, fs.ErrPermission):
		return fmt.Errorf("the socket %s belongs to another user: run this as the user who runs the router, or as root", c.path)
	case errors.Is(err, context.DeadlineExceeded):
		return fmt.Errorf("meshrouter at %s does not answer", c.path)
	}
	if op, ok := errors.AsType[*url.Error](err); ok {
		err = op.Err
	}
	return fmt.Errorf("meshrouter at %s: %w", c.path, err)
}
