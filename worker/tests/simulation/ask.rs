//! A request of S3 as it came over the wire, read as a server reads it.
use super::held::Words;
use aws_sdk_s3::config::http::HttpRequest;
use s3gateway_s3::uri;

#[derive(Clone, Debug)]
pub struct Ask {
    pub method: String,
    /// The backend's id, from the host's name.
    pub backend: String,
    /// Empty where the bucket, or all buckets, are meant.
    pub key: String,
    pub has_bucket: bool,
    pub query: Words,
    pub headers: Words,
}

impl Ask {
    pub fn read(request: &HttpRequest) -> Self {
        let (location, query) = request.uri().split_once('?').unwrap_or((request.uri(), ""));
        let location = location.split_once("://").map_or(location, |(_, rest)| rest);
        let (host, path) = location.split_once('/').unwrap_or((location, ""));
        let (bucket, key) = path.split_once('/').unwrap_or((path, ""));
        let header = |(name, value): (&str, &str)| (name.to_ascii_lowercase(), value.to_owned());
        Self {
            method: request.method().to_owned(),
            backend: host.split('.').next().unwrap_or_default().to_owned(),
            key: uri::decode_path(key).unwrap(),
            has_bucket: !bucket.is_empty(),
            query: uri::decode_query(query).unwrap().into_iter().collect(),
            headers: request.headers().iter().map(header).collect(),
        }
    }

    pub fn asks(&self, name: &str) -> Option<&str> {
        self.query.get(name).map(String::as_str)
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(String::as_str)
    }

    /// Whether it can change what the backend holds.
    pub fn changes(&self) -> bool {
        !matches!(self.method.as_str(), "GET" | "HEAD")
    }

    /// Content headers and user metadata.
    pub fn content_headers(&self) -> Words {
        let kept = ["content-type", "cache-control", "content-disposition", "content-encoding", "content-language"];
        let is_kept = |name: &str| kept.contains(&name) || name == "expires" || name.starts_with("x-amz-meta-");
        let headers = self.headers.iter().filter(|(name, _)| is_kept(name));
        headers.map(|(name, value)| (name.clone(), value.clone())).collect()
    }

    /// The tags that come with a PUT.
    pub fn tags(&self) -> Words {
        uri::decode_query(self.header("x-amz-tagging").unwrap_or_default()).unwrap().into_iter().collect()
    }

    /// As it is written down.
    pub fn name(&self) -> String {
        let what = ["tagging", "uploads", "uploadId", "partNumber", "list-type"];
        let what: Vec<String> = what.iter().filter_map(|name| Some(format!("{name}={}", self.asks(name)?))).collect();
        let source = if self.header("x-amz-copy-source").is_some() { " from itself" } else { "" };
        let what = if what.is_empty() { String::new() } else { format!("?{}", what.join("&")) };
        format!("{} {}/{}{what}{source}", self.method, self.backend, self.key)
    }
}

/// The texts of all elements of that name.
pub fn elements<'a>(document: &'a str, name: &str) -> Vec<&'a str> {
    let (open, close) = (format!("<{name}>"), format!("</{name}>"));
    document.split(open.as_str()).skip(1).filter_map(|rest| Some(rest.split_once(close.as_str())?.0)).collect()
}
