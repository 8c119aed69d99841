// Package version names the release that writes a dataset or a model.
package version

// Version stands in the metadata of everything that is written.
const Version = "0.1.0"
