package store

import (
	"time"

	"cloud.google.com/go/storage"
	azblob "github.com/Azure/azure-sdk-for-go/sdk/storage/azblob/blob"
	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
)

// version tells an object from others that have or had its name, by what a
// provider said of it, in answers to reads as in those about attributes: Google's
// generation, the others' ETag. Google's answers to reads have another kind of
// ETag, and whole seconds where the attributes have fractions. The time serves
// for drivers that have neither.
func version(as func(any) bool, modified time.Time) any {
	var (
		google   storage.ObjectAttrs
		reader   *storage.Reader
		head     s3.HeadObjectOutput
		get      s3.GetObjectOutput
		props    azblob.GetPropertiesResponse
		download azblob.DownloadStreamResponse
	)
	switch {
	case as(&google):
		return google.Generation
	case as(&reader):
		return reader.Attrs.Generation
	case as(&head):
		return aws.ToString(head.ETag)
	case as(&get):
		return aws.ToString(get.ETag)
	case as(&props) && props.ETag != nil:
		return *props.ETag
	case as(&download) && download.ETag != nil:
		return *download.ETag
	}
	return modified.UTC()
}
