//! Headers: which of them travel, and which ask for something that the gateway does not give.
mod allow;
mod refuse;

pub use allow::{AllowList, content_encoding, forwarded_request_headers, forwarded_response_headers, is_aws_chunked};
pub use refuse::refuse_unsupported;
