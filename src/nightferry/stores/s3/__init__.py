"""The S3 store: buckets of Amazon's and of everybody else who speaks that protocol."""
