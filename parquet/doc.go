// Package parquet reads and writes the datasets that the stages exchange:
// Parquet shards with the schemas tokens/1, scores/1 and audit/1, and the
// manifest that completes a folder of them. Shards stream in both directions:
// memory is bounded by a row group, not by the file. The bytes of a shard
// depend on its rows and metadata only.
package parquet

// Schemas of a dataset.
const (
	SchemaTokens = "tokens/1"
	SchemaScores = "scores/1"
	SchemaAudit  = "audit/1"
)
