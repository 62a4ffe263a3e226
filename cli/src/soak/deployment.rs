//! What the admin API says of the deployment: how much is still to be converged, and where the bucket's copies may be.
use super::options::BackendKey;
use crate::{
    admin::Client as Admin,
    failure::{During, Failure},
};
use http::Method;
use serde::{Deserialize, de::DeserializeOwned};
use std::time::{Duration, Instant};

const POLL: Duration = Duration::from_millis(250);
/// The admin API may be away for a moment after what was done to the deployment.
const ASK_WITHIN: Duration = Duration::from_secs(60);

/// The deployment as operators see it.
pub struct Deployment {
    /// The admin API.
    pub admin: Admin,
    /// Whose the bucket is.
    pub tenant: String,
    /// All backends.
    pub backends: Vec<BackendKey>,
}

#[derive(Debug, Deserialize)]
struct Depth {
    dirty: u64,
    dead: u64,
}

/// Where a bucket's copies are.
#[derive(Debug, Deserialize)]
pub struct Mapping {
    /// Copies that must exist, home included.
    pub replica_count: usize,
    /// In the order of the placement.
    pub mapping: Vec<Place>,
}

/// One place of a bucket.
#[derive(Debug, Deserialize)]
pub struct Place {
    /// The backend.
    pub backend: String,
    /// The bucket's name there.
    pub physical_bucket: String,
    /// Whether it is the home.
    pub home: bool,
}

#[derive(Debug, Deserialize)]
struct Explained {
    places: Vec<Verdict>,
}

#[derive(Debug, Deserialize)]
struct Verdict {
    backend: String,
    allowed: bool,
}

impl Deployment {
    /// Waits until no key is dirty; how long that took, or what was left.
    ///
    /// # Errors
    /// What the queue held last, or why it could not be asked.
    pub async fn converged(&self, within: Duration) -> Result<Duration, String> {
        let began = Instant::now();
        loop {
            let left = match self.get::<Depth>("/v1/jobs/depth").await {
                Ok(Depth { dirty: 0, .. }) => return Ok(began.elapsed()),
                Ok(depth) => format!("{} keys are dirty, {} of them given up", depth.dirty, depth.dead),
                Err(failure) => failure.message,
            };
            if began.elapsed() >= within {
                return Err(left);
            }
            tokio::time::sleep(POLL).await;
        }
    }

    /// Where the bucket's copies are.
    ///
    /// # Errors
    /// Where the admin API does not say so.
    pub async fn mapping(&self, bucket: &str) -> Result<Mapping, Failure> {
        self.ask(&format!("/v1/tenants/{}/buckets/{bucket}", self.tenant)).await
    }

    /// Backends on which the policy allows copies of the bucket.
    ///
    /// # Errors
    /// Where the admin API does not say so.
    pub async fn allowed(&self, bucket: &str) -> Result<Vec<String>, Failure> {
        let explained: Explained = self.ask(&format!("/v1/explain?tenant={}&bucket={bucket}", self.tenant)).await?;
        Ok(explained.places.into_iter().filter(|place| place.allowed).map(|place| place.backend).collect())
    }

    async fn ask<T: DeserializeOwned>(&self, target: &str) -> Result<T, Failure> {
        let began = Instant::now();
        loop {
            match self.get(target).await {
                Err(_) if began.elapsed() < ASK_WITHIN => tokio::time::sleep(POLL).await,
                asked => return asked,
            }
        }
    }

    async fn get<T: DeserializeOwned>(&self, target: &str) -> Result<T, Failure> {
        let answer = self.admin.send(&Method::GET, target, None).await?;
        serde_json::from_value(answer).during("reading the admin API's answer")
    }
}
