package store

import (
	"net/url"
	"os"
)

// s3Query is the query for the driver. Where a server other than Amazon's is
// named, by the URL or the environment, buckets are parts of the path unless the
// URL says otherwise: such servers seldom have a host name for each bucket.
func s3Query(query string) string {
	q, err := url.ParseQuery(query)
	if err != nil {
		return query
	}
	other := q.Has("endpoint") || os.Getenv("AWS_ENDPOINT_URL") != "" || os.Getenv("AWS_ENDPOINT_URL_S3") != ""
	if other && !q.Has("use_path_style") {
		q.Set("use_path_style", "true")
	}
	if other && !q.Has("region") && !q.Has("profile") && os.Getenv("AWS_REGION") == "" && os.Getenv("AWS_DEFAULT_REGION") == "" && os.Getenv("AWS_PROFILE") == "" {
		q.Set("region", "us-east-1") // which such servers take
	}
	return q.Encode()
}
