"""The conformance suite: S3's documented behaviour, shown directly at a backend and through the gateway in front of it."""
