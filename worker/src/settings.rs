//! What an operator may tune of a worker, with defaults that suit a small machine.
use crate::transport::Transport;
use ipnet::IpNet;
use s3gateway_store::DeleteGuard;
use std::time::Duration;

const GIB: u64 = 1 << 30;

/// A worker's limits and deadlines.
#[derive(Clone, Debug)]
pub struct WorkerSettings {
    /// Keys converged at the same time. Default 128.
    pub concurrency: usize,
    /// Of these, such whose objects are large. Default 8.
    pub large_concurrency: usize,
    /// Objects of so many bytes count as large. Default 8 MiB.
    pub large_object: u64,
    /// Requests in flight to one backend at most, half of them uploads: one that is slow leaves room for others' keys. Fewer while it throttles.
    /// Default 128.
    pub backend_concurrency: usize,
    /// Bytes of objects a second to and from one backend at most; fewer while it throttles. Default no limit.
    pub backend_bandwidth: Option<u64>,
    /// How long a claim stands without a sign of life before another worker takes the key over. Default 60 s.
    pub lease: Duration,
    /// Failed attempts after which a key becomes a dead letter. Default 12.
    pub max_attempts: u32,
    /// Parts of one object copied at the same time. Default 4.
    pub part_parallelism: usize,
    /// Objects with a plain ETag and more bytes than this are copied as multipart uploads, which costs them an ETag
    /// equal to the home's (it is then kept in the metadata). Objects that were multipart uploads themselves are
    /// always replayed as such. Default 5 GiB, the most that S3 takes in one PUT.
    pub multipart_threshold: u64,
    /// Part size where the source gives none, raised where 10,000 parts would not do. Default 64 MiB.
    pub part_size: u64,
    /// Pause between two looks into an empty queue. Default 200 ms.
    pub poll_interval: Duration,
    /// First delay of a retry; doubles with each attempt. Default 500 ms.
    pub backoff_base: Duration,
    /// Longest delay of a retry. Default 60 s.
    pub backoff_max: Duration,
    /// Networks that are no public ones and yet may hold backends. Default none.
    pub allow_networks: Vec<IpNet>,
    /// How long to wait for a connection to a backend. Default 5 s.
    pub connect_timeout: Duration,
    /// From request sent to the head of the answer, for requests without a body; and as long again for the rest of an answer
    /// that is no object. For uploads how long the backend may be silent: take nothing of the body, or, when it has all, not answer,
    /// for which it has 4 s more for each MiB. Default 30 s.
    pub answer_timeout: Duration,
    /// The same for uploads, sending included, and for what a backend may work at long; must outlast the slowest
    /// CompleteMultipartUpload. Default 1 h.
    pub upload_timeout: Duration,
    /// How long running jobs may go on after a stop; what is left then is taken over by another worker. Default 25 s.
    pub drain_grace: Duration,
    /// Pause between two looks for deleted buckets whose replicas remain. Default 5 s.
    pub retire_interval: Duration,
    /// How long a bucket may be half made or half deleted before its gateway counts as dead and the worker ends it; far
    /// longer than any gateway takes. Default 5 min.
    pub abandoned_after: Duration,
    /// Pause between two looks at an upload at a replica, whether the home's that it belongs to is over. Default 1 h.
    pub upload_look_interval: Duration,
    /// How long the job history is kept. Default 7 days.
    pub history: Duration,
    /// How long a change of a version's tags stays noted: far longer than it can take from the note to the change. Default 1 h.
    pub retagged_kept: Duration,
    /// Pause between two redrives of keys that were given up only because a backend was away. Default 5 min.
    pub redrive_interval: Duration,
    /// Pause between two looks for walks that are to be begun or gone on with. Default 1 s.
    pub walk_interval: Duration,
    /// Pause between two looks for promotions and migrations to take a turn at. Default 500 ms.
    pub look_interval: Duration,
    /// Shards of walks that one worker walks at the same time. Default 4.
    pub walk_shards: usize,
    /// Keys of one shard of a walk. Default 100,000: some minutes' work, so that several workers share a large bucket.
    pub shard_keys: u32,
    /// Dirty keys, dead letters aside, from which on walks and drains mark no more. Default 20,000.
    pub backlog: u64,
    /// Keys a second of each backfill that has no rate of its own; 0 for no bound. Default 0.
    pub backfill_rate: u32,
    /// How often every bucket is reconciled; zero: never by itself. Default 24 h.
    pub reconcile_interval: Duration,
    /// Keys a second of each periodic reconcile; 0 for no bound. Default 1,000.
    pub reconcile_rate: u32,
    /// What a walk may mark as deleted before an operator is asked. Default 10 % of a bucket's keys, and 100 at least.
    pub delete_guard: DeleteGuard,
    /// How it reaches backends. Default over the network.
    pub transport: Transport,
    /// Seed of the jitter; `None` takes one from the system.
    pub seed: Option<u64>,
}

impl Default for WorkerSettings {
    fn default() -> Self {
        Self {
            concurrency: 128,
            large_concurrency: 8,
            large_object: 8 << 20,
            backend_concurrency: 128,
            backend_bandwidth: None,
            lease: Duration::from_secs(60),
            max_attempts: 12,
            part_parallelism: 4,
            multipart_threshold: 5 * GIB,
            part_size: 64 << 20,
            poll_interval: Duration::from_millis(200),
            backoff_base: Duration::from_millis(500),
            backoff_max: Duration::from_secs(60),
            allow_networks: Vec::new(),
            connect_timeout: Duration::from_secs(5),
            answer_timeout: Duration::from_secs(30),
            upload_timeout: Duration::from_secs(3600),
            drain_grace: Duration::from_secs(25),
            retire_interval: Duration::from_secs(5),
            abandoned_after: Duration::from_secs(300),
            upload_look_interval: Duration::from_secs(3600),
            history: Duration::from_secs(7 * 24 * 3600),
            retagged_kept: Duration::from_secs(3600),
            redrive_interval: Duration::from_secs(300),
            walk_interval: Duration::from_secs(1),
            look_interval: Duration::from_millis(500),
            walk_shards: 4,
            shard_keys: 100_000,
            backlog: 20_000,
            backfill_rate: 0,
            reconcile_interval: Duration::from_secs(24 * 3600),
            reconcile_rate: 1000,
            delete_guard: DeleteGuard::default(),
            transport: Transport::default(),
            seed: None,
        }
    }
}
