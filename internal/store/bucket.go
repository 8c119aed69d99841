package store

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"gocloud.dev/blob"
	_ "gocloud.dev/blob/azureblob" // azblob://
	"gocloud.dev/gcerrors"
	"google.golang.org/api/googleapi"

	"eaft/internal/cli"
)

// An operation is tried this often. The pause before a try doubles from
// firstPause to lastPause, give or take half; the providers' own libraries try
// single requests again besides.
const (
	tries      = 6
	firstPause = 250 * time.Millisecond
	lastPause  = 8 * time.Second
)

// stall is how long a request may go on without a byte moving.
var stall = 30 * time.Second

var buckets struct {
	sync.Mutex
	open map[string]*blob.Bucket // by URL without key
}

// bucket opens the bucket of l, once for each process.
func (l location) bucketOf() (*blob.Bucket, error) {
	l.key = ""
	buckets.Lock()
	defer buckets.Unlock()
	if b := buckets.open[l.String()]; b != nil {
		return b, nil
	}
	var b *blob.Bucket
	var err error
	switch l.scheme {
	case "s3":
		b, err = openS3(l.bucket, l.query)
	case "gs":
		b, err = openGS(l.bucket, l.query)
	default:
		b, err = blob.OpenBucket(context.Background(), l.String())
	}
	if err != nil {
		return nil, cli.Usagef("%s: %s", l.scheme+"://"+l.bucket, cli.Redact(err.Error()))
	}
	if buckets.open == nil {
		buckets.open = map[string]*blob.Bucket{}
	}
	buckets.open[l.String()] = b
	return b, nil
}

// at finds the bucket that a URL names.
func at(name string) (*blob.Bucket, location, error) {
	l, err := parse(name)
	if err != nil {
		return nil, l, err
	}
	b, err := l.bucketOf()
	return b, l, err
}

// failure is what a provider said, for people: without its types, and without
// what its URLs carry.
type failure struct {
	text string
	kind error // fs.ErrNotExist, fs.ErrPermission or nil
}

func (f *failure) Error() string { return f.text }

func (f *failure) Is(target error) bool { return f.kind != nil && target == f.kind }

// unavailable is a failure that may be over later.
type unavailable struct{ failure }

// Unavailable marks the error for cli.Code.
func (*unavailable) Unavailable() {}

// codeOf is the driver's code of an error, but for a refusal (401, 403): Google's
// driver takes that for an object that is not there, the others take some of them
// for something that may be over.
func codeOf(err error) gcerrors.ErrorCode {
	var amazon interface{ HTTPStatusCode() int }
	var google *googleapi.Error
	var azure *azcore.ResponseError
	status := 0
	switch {
	case errors.As(err, &amazon):
		status = amazon.HTTPStatusCode()
	case errors.As(err, &google):
		status = google.Code
	case errors.As(err, &azure):
		status = azure.StatusCode
	}
	if status == http.StatusUnauthorized || status == http.StatusForbidden {
		return gcerrors.PermissionDenied
	}
	return gcerrors.Code(err)
}

// said is an error in one line, without what its URLs carry.
func said(err error) string {
	var google *googleapi.Error
	var azure *azcore.ResponseError
	switch {
	case errors.As(err, &google): // around it stands the driver's code
		err = google
	case errors.As(err, &azure): // whose text is the whole answer
		err = fmt.Errorf("status %d %s %s", azure.StatusCode, http.StatusText(azure.StatusCode), azure.ErrorCode)
	}
	return strings.TrimSpace(cli.Redact(strings.ReplaceAll(err.Error(), "\n", " ")))
}

// final reports errors that another try would meet again.
func final(err error) bool {
	switch codeOf(err) {
	case gcerrors.NotFound, gcerrors.PermissionDenied, gcerrors.InvalidArgument, gcerrors.FailedPrecondition, gcerrors.Unimplemented:
		return true
	}
	var changed *changedError
	return errors.As(err, &changed) || errors.Is(err, errNoBucket)
}

// absent says what is not there: an object, or the bucket where something was to be made or listed.
func (l location) absent(what string) error {
	switch what {
	case "list", "create", "write":
		return l.errOf(&failure{fmt.Sprintf("%s: there is no such bucket; make it, or name another", what), fs.ErrNotExist})
	}
	return l.errOf(&failure{fmt.Sprintf("%s: %v", what, fs.ErrNotExist), fs.ErrNotExist})
}

// remedy is for what failed again and again.
func remedy(err error) string {
	if strings.Contains(err.Error(), "get credentials:") {
		return "no credentials were found: set them as docs/storage.md says, or look after the service that hands them out"
	}
	return "run the same command again when the store answers"
}

// retry runs do until it succeeds, the error is final or the tries are used up.
func (l location) retry(what string, do func() error) error {
	pause := firstPause
	for try := 1; ; try++ {
		err := do()
		switch {
		case err == nil:
			return nil
		case codeOf(err) == gcerrors.NotFound || errors.Is(err, errNoBucket):
			return l.absent(what)
		case codeOf(err) == gcerrors.PermissionDenied:
			return l.errOf(&failure{fmt.Sprintf("%s: the store refuses it; look after the credentials, what they may do and the clock: %s", what, said(err)), fs.ErrPermission})
		case final(err):
			return l.errOf(&failure{text: fmt.Sprintf("%s: %s", what, said(err))})
		case try == tries:
			return l.errOf(&unavailable{failure{text: fmt.Sprintf("%s failed %d times, last: %s; %s", what, tries, said(err), remedy(err))}})
		}
		cli.Warnf("%v; trying again (%d of %d)", l.errOf(fmt.Errorf("%s: %s", what, said(err))), try+1, tries)
		time.Sleep(pause/2 + rand.N(pause))
		pause = min(2*pause, lastPause)
	}
}

// errStall ends a request in which nothing moves.
var errStall = errors.New("the store did not answer in time")

// request is the context of one request, which ends when nothing moves.
type request struct {
	context.Context
	cancel context.CancelCauseFunc
	timer  *time.Timer
}

func newRequest() *request {
	ctx, cancel := context.WithCancelCause(context.Background())
	return &request{ctx, cancel, time.AfterFunc(stall, func() { cancel(errStall) })}
}

// moved says that bytes came or went.
func (r *request) moved() { r.timer.Reset(stall) }

// end gives the request's error its reason.
func (r *request) end(err error) error {
	r.timer.Stop()
	if err != nil && errors.Is(context.Cause(r), errStall) {
		err = errStall
	}
	r.cancel(nil)
	return err
}
