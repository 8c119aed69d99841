package store

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"strconv"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/retry"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/smithy-go/logging"
	gcaws "gocloud.dev/aws"
	"gocloud.dev/blob"
	"gocloud.dev/blob/s3blob"
)

// openS3 opens a bucket as the driver's own opener of URLs does, but for what
// that lacks: a server that says "too many requests" (429) is asked again as one
// that is not there (503), part by part, so that a large upload does not begin
// anew for each; and the library says nothing on stderr.
func openS3(bucket, query string) (*blob.Bucket, error) {
	q, err := url.ParseQuery(query)
	if err != nil {
		return nil, err
	}
	// Where a server other than Amazon's is named, by the URL or the environment,
	// buckets are parts of the path unless the URL says otherwise: such servers
	// seldom have a host name for each bucket.
	other := q.Has("endpoint") || os.Getenv("AWS_ENDPOINT_URL") != "" || os.Getenv("AWS_ENDPOINT_URL_S3") != ""
	pathStyle, err := flag(q, "use_path_style", other)
	if err != nil {
		return nil, err
	}
	unencrypted, err := flag(q, "disable_https", false)
	if err != nil {
		return nil, err
	}
	if other && !q.Has("region") && !q.Has("profile") && os.Getenv("AWS_REGION") == "" && os.Getenv("AWS_DEFAULT_REGION") == "" && os.Getenv("AWS_PROFILE") == "" {
		q.Set("region", "us-east-1") // which such servers take
	}
	cfg, err := gcaws.V2ConfigFromURLParams(context.Background(), q)
	if err != nil {
		return nil, err
	}
	cfg.Logger = logging.Nop{}
	cfg.Retryer = func() aws.Retryer {
		return retry.NewStandard(func(o *retry.StandardOptions) {
			o.Retryables = append(o.Retryables, retry.RetryableHTTPStatusCode{Codes: map[int]struct{}{http.StatusTooManyRequests: {}}})
		})
	}
	client := s3.NewFromConfig(cfg, func(o *s3.Options) {
		o.UsePathStyle, o.EndpointOptions.DisableHTTPS = pathStyle, unencrypted
	})
	// What the driver hands to the library that uploads parts.
	return s3blob.OpenBucket(context.Background(), client, bucket, &s3blob.Options{RequestChecksumCalculation: cfg.RequestChecksumCalculation})
}

// flag takes a yes or no out of a query.
func flag(q url.Values, name string, absent bool) (bool, error) {
	if !q.Has(name) {
		return absent, nil
	}
	value, err := strconv.ParseBool(q.Get(name))
	if err != nil {
		return false, fmt.Errorf("%s=%s: use true or false", name, q.Get(name))
	}
	q.Del(name)
	return value, nil
}
