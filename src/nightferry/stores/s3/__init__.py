"""The S3 store: buckets of Amazon's and of everybody else who speaks that protocol."""

from nightferry.stores.s3.bucket import S3Address
from nightferry.stores.s3.store import S3Store

__all__ = ["S3Address", "S3Store"]
