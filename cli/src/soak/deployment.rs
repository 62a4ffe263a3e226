//! What the admin API says of the deployment: how much is still to be converged, and where the bucket's copies may be.
use super::options::BackendKey;
use crate::{
    admin::{Client as Admin, PATIENCE},
    failure::{During, Failure},
};
use http::Method;
use s3gateway_s3::uri;
use serde::{Deserialize, de::DeserializeOwned};
use std::{
    collections::VecDeque,
    time::{Duration, Instant},
};

const POLL: Duration = Duration::from_millis(250);
/// Keys that are asked about between two looks at the queue.
const AT_ONCE: usize = 200;
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
struct Copies {
    state: String,
}

#[derive(Debug, Deserialize)]
struct Depth {
    dirty: u64,
    dead: u64,
    suspect: bool,
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
    /// Waits until none of these keys is dirty; how long that took. Other keys of the deployment may be.
    ///
    /// # Errors
    /// What was left, or why the queue could not be asked.
    pub async fn converged(
        &self,
        bucket: &str,
        keys: impl Iterator<Item = &String>,
        within: Duration,
    ) -> Result<Duration, String> {
        let began = Instant::now();
        let mut dirty: VecDeque<&String> = keys.collect();
        loop {
            let left = match self.get::<Depth>("/v1/jobs/depth").await {
                Ok(Depth { dirty: 0, suspect: false, .. }) => return Ok(began.elapsed()),
                Ok(depth) => {
                    self.drop_clean(bucket, &mut dirty).await;
                    format!("{} keys of the run are dirty, {} of all given up", dirty.len(), depth.dead)
                }
                Err(failure) => failure.message,
            };
            if dirty.is_empty() {
                return Ok(began.elapsed());
            }
            if began.elapsed() >= within {
                return Err(left);
            }
            tokio::time::sleep(POLL).await;
        }
    }

    /// Nobody writes the keys any more: one that was seen clean stays so.
    async fn drop_clean(&self, bucket: &str, dirty: &mut VecDeque<&String>) {
        for _ in 0..dirty.len().min(AT_ONCE) {
            let Some(key) = dirty.pop_front() else { return };
            let of_key =
                format!("/v1/tenants/{}/buckets/{bucket}/copies?key={}", self.tenant, uri::encode(key.as_bytes()));
            let is_clean = self.get::<Copies>(&of_key).await.is_ok_and(|copies| copies.state == "clean");
            if !is_clean {
                dirty.push_back(key);
            }
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
        let answer = self.admin.send(&Method::GET, target, None, PATIENCE).await?;
        serde_json::from_value(answer).during("reading the admin API's answer")
    }
}
