package s3test

import (
	"errors"
	"fmt"
	"io"
	"log"
	"maps"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"sync"
	"testing"
	"time"
)

// Fault is what becomes of a request at a Proxy.
type Fault int

// The numbers from 400 to 599 are faults, too: the status that is answered.
const (
	None   Fault = iota
	Reset        // the connection is reset, the request never arrives
	Lost         // it is done, and the connection is reset instead of an answer
	Cut          // the answer breaks off halfway
	Slow         // the answer takes Latency longer
	Stall        // half of the answer comes, and then nothing
	Silent       // it is done, and no answer ever comes
)

// Latency is how much longer a Slow request takes.
const Latency = 300 * time.Millisecond

// Share decides that about one of n requests, always the same ones, meets one of
// the faults in turn; the second request meets one in any case.
func Share(n int, faults ...Fault) func(int, *http.Request) Fault {
	return func(i int, _ *http.Request) Fault {
		r := rand.New(rand.NewPCG(1, uint64(i)))
		if i != 1 && r.IntN(n) > 0 {
			return None
		}
		return faults[r.IntN(len(faults))]
	}
}

// Proxy stands before a server.
type Proxy struct {
	Endpoint string
	decide   func(n int, r *http.Request) Fault
	forward  *httputil.ReverseProxy

	mu   sync.Mutex
	n    int
	done map[Fault]int
}

// Through starts a proxy before the server, which asks decide about every
// request, n counting them from 0.
func Through(t testing.TB, s *Server, decide func(n int, r *http.Request) Fault) *Proxy {
	t.Helper()
	to, err := url.Parse(s.Endpoint)
	if err != nil {
		t.Fatal(err)
	}
	p := &Proxy{decide: decide, done: map[Fault]int{}}
	p.forward = &httputil.ReverseProxy{
		// The host stays: it is signed.
		Rewrite: func(r *httputil.ProxyRequest) {
			r.Out.URL.Scheme, r.Out.URL.Host, r.Out.Host = to.Scheme, to.Host, r.In.Host
		},
		ModifyResponse: p.spoil,
		ErrorHandler:   func(w http.ResponseWriter, _ *http.Request, _ error) { panic(http.ErrAbortHandler) },
		ErrorLog:       log.New(io.Discard, "", 0),
	}
	server := httptest.NewServer(p)
	p.Endpoint = server.URL
	t.Cleanup(func() {
		server.CloseClientConnections()
		server.Close()
	})
	return p
}

// Done counts the faults that were made.
func (p *Proxy) Done() map[Fault]int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return maps.Clone(p.done)
}

// faultHeader tells spoil what is to become of the answer.
const faultHeader = "X-Test-Fault"

func (p *Proxy) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	p.mu.Lock()
	n := p.n
	p.n++
	p.mu.Unlock()
	f := p.decide(n, r)
	p.mu.Lock()
	p.done[f]++
	p.mu.Unlock()
	switch f {
	case Reset:
		reset(w)
		return
	case Lost:
		p.forward.ServeHTTP(httptest.NewRecorder(), r)
		reset(w)
		return
	case Silent:
		p.forward.ServeHTTP(httptest.NewRecorder(), r)
		<-r.Context().Done()
		return
	case Slow:
		time.Sleep(Latency)
	case Cut, Stall:
		r.Header.Set(faultHeader, fmt.Sprint(int(f)))
	default:
		if f >= 400 {
			io.Copy(io.Discard, r.Body)
			w.Header().Set("Content-Type", "application/xml")
			w.WriteHeader(int(f))
			fmt.Fprintf(w, "<Error><Code>%s</Code><Message>made by the test</Message></Error>", map[Fault]string{403: "AccessDenied", 429: "TooManyRequests", 503: "SlowDown"}[f])
			return
		}
	}
	p.forward.ServeHTTP(w, r)
}

// reset ends the client's connection as a machine does that has crashed.
func reset(w http.ResponseWriter) {
	conn, _, err := w.(http.Hijacker).Hijack()
	if err != nil {
		return
	}
	if c, ok := conn.(*net.TCPConn); ok {
		c.SetLinger(0)
	}
	conn.Close()
}

// spoil lets the body of an answer end too early. An answer without one is lost.
func (p *Proxy) spoil(r *http.Response) error {
	f := r.Request.Header.Get(faultHeader)
	if f == "" {
		return nil
	}
	if r.ContentLength < 2 {
		return errors.New("no body to cut")
	}
	r.Body = &spoiled{r.Body, r.ContentLength / 2, f == fmt.Sprint(int(Stall)), r.Request.Context().Done()}
	return nil
}

type spoiled struct {
	io.ReadCloser
	left  int64
	stall bool
	gone  <-chan struct{} // the client
}

func (s *spoiled) Read(b []byte) (int, error) {
	if s.left == 0 {
		if s.stall {
			<-s.gone
		}
		return 0, errors.New("cut by the test")
	}
	n, err := s.ReadCloser.Read(b[:min(int64(len(b)), s.left)])
	s.left -= int64(n)
	return n, err
}
