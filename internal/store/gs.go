package store

import (
	"context"
	"fmt"
	"net/url"
	"os"

	"cloud.google.com/go/storage"
	"gocloud.dev/blob"
	"gocloud.dev/blob/gcsblob"
	"gocloud.dev/gcp"
	"golang.org/x/oauth2/google"
	"google.golang.org/api/option"
)

// gsTries is how often Google's library makes a request before the error is ours.
const gsTries = 3

// openGS opens a bucket as the driver's own opener of URLs does, but for three
// things: that one looks for credentials also where none are wanted, writes on
// stdout if there are none, and lets the library ask again without an end.
func openGS(bucket, query string) (*blob.Bucket, error) {
	q, err := url.ParseQuery(query)
	if err != nil {
		return nil, err
	}
	anonymous, err := flag(q, "anonymous", os.Getenv("STORAGE_EMULATOR_HOST") != "") // Google's name for another server
	if err != nil {
		return nil, err
	}
	ctx := context.Background()
	client := gcp.NewAnonymousHTTPClient(gcp.DefaultTransport())
	var options []option.ClientOption
	universe := q.Get("universe_domain")
	if !anonymous {
		creds, err := gcp.DefaultCredentialsWithParams(ctx, google.CredentialsParams{UniverseDomain: universe})
		if err != nil {
			return nil, fmt.Errorf("%w; or say ?anonymous=true for a public bucket", err)
		}
		if client, err = gcp.NewHTTPClient(gcp.DefaultTransport(), creds.TokenSource); err != nil {
			return nil, err
		}
		if universe, err = creds.GetUniverseDomain(); err != nil {
			return nil, err
		}
	}
	if universe != "" {
		options = append(options, option.WithUniverseDomain(universe))
	}
	b, err := gcsblob.OpenBucket(ctx, client, bucket, &gcsblob.Options{ClientOptions: options})
	if err != nil {
		return nil, err
	}
	var library *storage.Client
	if b.As(&library) {
		// Whatever is asked here may be asked twice: CreateNew sees to its own.
		library.SetRetry(storage.WithMaxAttempts(gsTries), storage.WithPolicy(storage.RetryAlways))
	}
	return b, nil
}
