package hub

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"eaft/internal/cli"
	"eaft/internal/version"
)

const (
	attempts = 6                // at a request that may yet succeed
	hasty    = 10 * time.Second // for an answer, where the cache will do
)

// Tests shorten these.
var (
	stall = 30 * time.Second // without a byte, after which a request is made again
	pause = time.Second      // before the first repetition; it doubles
)

// endpoint is where the Hub is.
func endpoint() string {
	if e := strings.TrimRight(os.Getenv("HF_ENDPOINT"), "/"); e != "" {
		return e
	}
	return "https://huggingface.co"
}

// offline reports that no request may be made.
func offline() bool { return isTrue("HF_HUB_OFFLINE") || isTrue("TRANSFORMERS_OFFLINE") }

func isTrue(name string) bool {
	switch strings.ToUpper(os.Getenv(name)) {
	case "1", "ON", "YES", "TRUE":
		return true
	}
	return false
}

// token is HF_TOKEN, or what `hf auth login` left; "" for none.
func token() string {
	for _, name := range []string{"HF_TOKEN", "HUGGING_FACE_HUB_TOKEN"} {
		if t := strings.TrimSpace(os.Getenv(name)); t != "" {
			return t
		}
	}
	if isTrue("HF_HUB_DISABLE_IMPLICIT_TOKEN") {
		return ""
	}
	at := expand(os.Getenv("HF_TOKEN_PATH"))
	if at == "" {
		dir, err := home()
		if err != nil {
			return ""
		}
		at = filepath.Join(dir, "token")
	}
	data, _ := os.ReadFile(at)
	return strings.TrimSpace(string(data))
}

// refused is an answer that says no for good: of a model that cannot be had.
func refused(format string, a ...any) error {
	return &cli.Error{Code: cli.ExitUsage, Err: fmt.Errorf(format, a...)}
}

// absent is the answer that a revision has no such file.
type absent struct{ commit string }

func (*absent) Error() string { return "no such file" }

// remote is what the Hub says of a file.
type remote struct {
	commit string
	etag   string // SHA-256 of a large file, git's SHA-1 of a small one, elsewhere anything
	size   int64  // -1: not said
}

// client makes requests for one model.
type client struct {
	id       ID
	http     *http.Client
	base     string
	attempts int
	w        io.Writer // told of attempts that failed
}

func newClient(id ID, w io.Writer) *client {
	t := http.DefaultTransport.(*http.Transport).Clone()
	t.ResponseHeaderTimeout = stall
	t.DisableCompression = true // sizes and hashes are of the file as it is
	return &client{id: id, http: &http.Client{Transport: t, CheckRedirect: redirected}, base: endpoint(), attempts: attempts, w: w}
}

func (c *client) host() string {
	u, err := url.Parse(c.base)
	if err != nil {
		return ""
	}
	return u.Host
}

func (c *client) url(revision, name string) string {
	return c.base + "/" + c.id.repo() + "/resolve/" + url.PathEscape(revision) + (&url.URL{Path: "/" + name}).EscapedPath()
}

// request makes a request of a file from its byte at on.
func (c *client) request(ctx context.Context, method, file string, at int64) (*http.Response, error) {
	req, err := http.NewRequestWithContext(ctx, method, file, nil)
	if err != nil {
		return nil, err
	}
	req.Header.Set("User-Agent", "eaft/"+version.Version)
	if t := token(); t != "" {
		req.Header.Set("Authorization", "Bearer "+t)
	}
	if at > 0 {
		req.Header.Set("Range", fmt.Sprintf("bytes=%d-", at))
	}
	return c.http.Do(req)
}

// redirected: where the bytes are is a host of its own, which is not told the token,
// even where net/http would do so (a subdomain, another port). A model that was renamed
// is on the same host.
func redirected(req *http.Request, via []*http.Request) error {
	switch away := req.URL.Host != via[0].URL.Host; {
	case len(via) > 10:
		return errors.New("10 redirections")
	case away && req.Method == http.MethodHead:
		return http.ErrUseLastResponse // what is asked for stands beside the redirection
	case away:
		req.Header.Del("Authorization")
	}
	return nil
}

// stat asks for a file of a revision. The Hub's answer for a large file redirects to
// where its bytes are, and says beside it what they are.
func (c *client) stat(ctx context.Context, revision, name string) (r remote, err error) {
	err = c.retry(ctx, name, func(ctx context.Context) error {
		res, err := c.request(ctx, http.MethodHead, c.url(revision, name), 0)
		if err != nil {
			return err
		}
		res.Body.Close()
		if err := c.failure(res, name); err != nil {
			return err
		}
		r = remote{commit: res.Header.Get("X-Repo-Commit"), etag: etag(res.Header), size: size(res)}
		if !commitHash.MatchString(r.commit) || r.etag == "" {
			return refused("%s answers without X-Repo-Commit and ETag: it is no Hugging Face Hub (HF_ENDPOINT)", c.base)
		}
		return nil
	})
	return r, err
}

func etag(h http.Header) string {
	e := h.Get("X-Linked-Etag")
	if e == "" {
		e = h.Get("ETag")
	}
	return strings.Trim(strings.TrimPrefix(e, "W/"), `"`)
}

func size(res *http.Response) int64 {
	s := res.Header.Get("X-Linked-Size")
	if s == "" && res.StatusCode < 300 { // of a redirection it is that of its text
		s = res.Header.Get("Content-Length")
	}
	n, err := strconv.ParseInt(s, 10, 64)
	if err != nil || n < 0 {
		return -1
	}
	return n
}

// get writes a file of a commit to w. What fails on the way goes on where it was.
func (c *client) get(ctx context.Context, name string, want remote, w io.Writer) error {
	var at int64
	return c.retry(ctx, name, func(ctx context.Context) error {
		ctx, cancel := context.WithCancelCause(ctx)
		defer cancel(nil)
		timer := time.AfterFunc(stall, func() { cancel(fmt.Errorf("no byte in %v", stall)) })
		defer timer.Stop()
		res, err := c.request(ctx, http.MethodGet, c.url(want.commit, name), at)
		if err != nil {
			return because(ctx, err)
		}
		defer res.Body.Close()
		if err := c.failure(res, name); err != nil {
			return err
		}
		body := alive{res.Body, timer}
		if at > 0 && res.StatusCode != http.StatusPartialContent { // all of it again
			if _, err := io.CopyN(io.Discard, body, at); err != nil {
				return because(ctx, err)
			}
		}
		n, err := io.Copy(w, body)
		if at += n; err == nil && at < want.size {
			err = io.ErrUnexpectedEOF
		}
		return because(ctx, err)
	})
}

// because is why a context was cancelled, where that is behind an error.
func because(ctx context.Context, err error) error {
	if err == nil {
		return nil
	}
	if cause := context.Cause(ctx); cause != nil && !errors.Is(cause, context.Canceled) {
		return cause
	}
	return err
}

// alive puts a timer off with each byte.
type alive struct {
	r io.Reader
	t *time.Timer
}

func (a alive) Read(p []byte) (int, error) {
	n, err := a.r.Read(p)
	if n > 0 {
		a.t.Reset(stall)
	}
	return n, err
}

// retry makes a request again while it fails for reasons that may pass.
func (c *client) retry(ctx context.Context, name string, do func(ctx context.Context) error) (err error) {
	wait := pause
	for i := range c.attempts {
		if i > 0 {
			var later *later
			if errors.As(err, &later) && later.after > wait {
				wait = min(later.after, time.Minute)
			}
			fmt.Fprintf(c.w, "warning: %s of %s: %v; again in %v\n", name, c.id, err, wait)
			select {
			case <-ctx.Done():
				return ctx.Err()
			case <-time.After(wait):
			}
			wait *= 2
		}
		err = do(ctx)
		var no *cli.Error
		var none *absent
		var op *net.OpError
		var local *fs.PathError                                  // a full disk
		noWay := errors.As(err, &op) && op.Op == "dial" && i > 0 // there is no Hub from here
		if err == nil || ctx.Err() != nil || noWay || errors.As(err, &no) || errors.As(err, &none) || errors.As(err, &local) {
			return err
		}
	}
	return err
}

// later is an answer that asks for patience.
type later struct {
	status string
	after  time.Duration
}

func (l *later) Error() string { return "answer " + l.status }

// failure is what an answer says is wrong.
func (c *client) failure(res *http.Response, name string) error {
	if res.StatusCode < 400 {
		return nil
	}
	code, id := res.Header.Get("X-Error-Code"), c.id
	access := "set HF_TOKEN to a token of an account that has access"
	if token() != "" {
		access = "the token (HF_TOKEN, or that of `hf auth login`) gives no access"
	}
	elsewhere := res.Request.URL.Host != c.host() // where the bytes are, by an address that was good for a while
	switch {
	case code == "EntryNotFound":
		return &absent{res.Header.Get("X-Repo-Commit")}
	case code == "RevisionNotFound":
		return refused("%s has no revision %q", id.repo(), id.Revision)
	case code == "GatedRepo":
		return refused("%s is gated: accept its terms at %s/%s, and %s", id.repo(), c.base, id.repo(), access)
	case !elsewhere && (code == "RepoNotFound" || res.StatusCode == http.StatusUnauthorized || res.StatusCode == http.StatusForbidden):
		return refused("there is no model %s at %s, or it is private: %s", id.repo(), c.base, access)
	case !elsewhere && res.StatusCode == http.StatusNotFound:
		return &absent{res.Header.Get("X-Repo-Commit")}
	case elsewhere, res.StatusCode == http.StatusTooManyRequests, res.StatusCode >= 500, res.StatusCode == http.StatusRequestTimeout:
		s, _ := strconv.Atoi(res.Header.Get("Retry-After"))
		return &later{res.Status, time.Duration(s) * time.Second}
	}
	return refused("%s/%s: answer %s", c.base, name, res.Status)
}
