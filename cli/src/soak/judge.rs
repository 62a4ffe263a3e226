//! The judgement at the end: every key of the ledger is read at its home, at every replica and through the gateway, and
//! every backend that must hold none is searched.
use super::{
    client::{describe, seen},
    deployment::{Deployment, Mapping},
    history::{History, State, Verdict},
    ledger::Replayed,
    s3::{self, Answer, Read, sort},
    tally::{Finding, Tally},
    write::TAG,
};
use crate::failure::Failure;
use aws_sdk_s3::Client as S3;
use futures::{StreamExt, stream};
use std::{collections::BTreeSet, time::Duration};

/// Keys that are judged at the same time; each is held in memory once for each place.
const AT_ONCE: usize = 8;
const TRIES: u32 = 8;
const PAUSE: Duration = Duration::from_secs(1);

/// A backend, and what of the bucket it may hold.
struct Site {
    id: String,
    s3: S3,
    held: Held,
}

#[derive(Debug, PartialEq, Eq)]
enum Held {
    Home(String),
    Replica(String),
    Nothing,
}

/// Who judges.
pub struct Judge<'a> {
    gateway: &'a S3,
    ledger: &'a Replayed,
    tally: &'a Tally,
    sites: Vec<Site>,
    needed: usize,
}

impl<'a> Judge<'a> {
    /// Finds out what should be where.
    ///
    /// # Errors
    /// Where the admin API does not say so, or speaks of a backend that is not in the file.
    pub async fn new(
        deployment: &Deployment,
        gateway: &'a S3,
        ledger: &'a Replayed,
        tally: &'a Tally,
    ) -> Result<Self, Failure> {
        let Mapping { replica_count, mapping } = deployment.mapping(&ledger.run.bucket).await?;
        let allowed = deployment.allowed(&ledger.run.bucket).await?;
        if let Some(place) = mapping.iter().find(|place| !deployment.backends.iter().any(|b| b.id == place.backend)) {
            let id = &place.backend;
            return Err(Failure::of_input(format!("--backends: {id} is missing, which the bucket's copies are on")));
        }
        let sites = deployment.backends.iter().map(|backend| {
            let place = mapping.iter().find(|place| place.backend == backend.id && allowed.contains(&backend.id));
            let held = match place {
                Some(place) if place.home => Held::Home(place.physical_bucket.clone()),
                Some(place) => Held::Replica(place.physical_bucket.clone()),
                None => Held::Nothing,
            };
            let s3 = s3::connect(&backend.endpoint, &backend.region, &backend.access_key, &backend.secret_key());
            Site { id: backend.id.clone(), s3, held }
        });
        let sites: Vec<_> = sites.collect();
        let places = sites.iter().filter(|site| site.held != Held::Nothing).count();
        Ok(Self { gateway, ledger, tally, sites, needed: replica_count.min(places) })
    }

    /// Judges everything.
    ///
    /// # Errors
    /// Where a backend or the gateway cannot be read: then nothing is proven.
    pub async fn run(&self) -> Result<(), Failure> {
        for site in &self.sites {
            self.search(site).await?;
        }
        let judged = stream::iter(&self.ledger.keys).map(|(key, history)| self.judge(key, history));
        let mut judged = judged.buffer_unordered(AT_ONCE);
        while let Some(done) = judged.next().await {
            done?;
        }
        Ok(())
    }

    /// Keys that nobody wrote, and, where there must be none, all.
    async fn search(&self, site: &Site) -> Result<(), Failure> {
        let prefix = &self.ledger.run.prefix;
        let buckets = match &site.held {
            Held::Home(bucket) | Held::Replica(bucket) => vec![bucket.clone()],
            Held::Nothing => patiently(&site.id, || self.buckets(site)).await?,
        };
        for bucket in buckets {
            let keys = patiently(&site.id, || async {
                match s3::list(&site.s3, &bucket, prefix).await {
                    // A replica's bucket is made with its first copy; and a list of buckets may name one that is gone.
                    Answer::Refused { status: 404, .. } => Answer::Done(Default::default()),
                    listed => listed,
                }
            });
            for key in keys.await?.0.into_keys() {
                match &site.held {
                    Held::Nothing => self.tally.find(Finding::ForbiddenCopy, &key, format!("on {}", site.id)),
                    _ if !self.ledger.keys.contains_key(&key) => {
                        self.tally.find(Finding::Wrong, &key, format!("on {}, and never written", site.id));
                    }
                    _ => {}
                }
            }
        }
        Ok(())
    }

    async fn buckets(&self, site: &Site) -> Answer<Vec<String>> {
        match sort(site.s3.list_buckets().send().await) {
            Answer::Done(listed) => {
                Answer::Done(listed.buckets().iter().filter_map(|b| b.name().map(str::to_owned)).collect())
            }
            Answer::Refused { status, code } => Answer::Refused { status, code },
            Answer::Unanswered(why) => Answer::Unanswered(why),
        }
    }

    async fn judge(&self, key: &str, history: &History) -> Result<(), Failure> {
        let (mut at_home, mut home_tags) = (Read::Nothing, None);
        for site in &self.sites {
            let Held::Home(bucket) = &site.held else { continue };
            at_home = read(&site.id, &site.s3, bucket, key).await?;
            self.judge_read(&at_home, history, key, &format!("at home on {}", site.id));
            home_tags = self.tags(site, bucket, key, &at_home).await?;
            self.judge_tags(home_tags.as_ref(), history, key, &at_home);
        }
        let mut held = usize::from(matches!(at_home, Read::Bytes { .. }));
        for site in &self.sites {
            let Held::Replica(bucket) = &site.held else { continue };
            let copy = read(&site.id, &site.s3, bucket, key).await?;
            let place = format!("replica on {}", site.id);
            match (&at_home, &copy) {
                (_, Read::Nothing) => {}
                (Read::Bytes { bytes: home, .. }, Read::Bytes { bytes, .. }) if home == bytes => {
                    let tags = self.tags(site, bucket, key, &copy).await?;
                    // A backend without tags has none that could differ.
                    if tags == home_tags || tags.is_none() || home_tags.is_none() {
                        held += 1;
                    }
                }
                (Read::Nothing, _) => self.tally.find(Finding::LeftCopy, key, format!("{place}: {}", describe(&copy))),
                // What is not the home's is no copy of it; bytes that were never written are worse.
                _ => self.judge_read(&copy, history, key, &place),
            }
        }
        if matches!(at_home, Read::Bytes { .. }) && held < self.needed {
            self.tally.find(Finding::MissingCopy, key, format!("{held} equal copies of {}", self.needed));
        }
        let through = read("the gateway", self.gateway, &self.ledger.run.bucket, key).await?;
        self.judge_read(&through, history, key, "through the gateway");
        Ok(())
    }

    fn judge_read(&self, read: &Read, history: &History, key: &str, place: &str) {
        let finding = match history.judge(self.ledger.run.seed, seen(read)) {
            Verdict::Fine => return,
            Verdict::Wrong => Finding::Wrong,
            Verdict::Resurrected => Finding::Resurrected,
            Verdict::Lost | Verdict::Old => Finding::Lost,
        };
        self.tally.find(finding, key, format!("{} {place}, may be {}", describe(read), allowed(history)));
    }

    /// The tags of what was read; `None` where its backend keeps none.
    async fn tags(&self, site: &Site, bucket: &str, key: &str, read: &Read) -> Result<Option<Tags>, Failure> {
        if matches!(read, Read::Nothing) {
            return Ok(None);
        }
        let tagging = patiently(&site.id, || async {
            match sort(site.s3.get_object_tagging().bucket(bucket).key(key).send().await) {
                Answer::Done(tagging) => Answer::Done(Some(tagging.tag_set)),
                Answer::Refused { status: 404, code } if code == "NoSuchTagSet" => Answer::Done(Some(Vec::new())),
                Answer::Unanswered(why) if why.starts_with("501") => Answer::Done(None),
                Answer::Refused { status, code } => Answer::Refused { status, code },
                Answer::Unanswered(why) => Answer::Unanswered(why),
            }
        });
        Ok(tagging.await?.map(|tags| tags.into_iter().map(|tag| (tag.key, tag.value)).collect()))
    }

    /// Some states with these bytes have these tags, or the tags are wrong.
    fn judge_tags(&self, tags: Option<&Tags>, history: &History, key: &str, read: &Read) {
        let (Some(tags), Read::Bytes { bytes, total, .. }) = (tags, read) else { return };
        let seed = self.ledger.run.seed;
        let states = history.allowed().iter().flatten();
        let mut states = states.filter(|state| state.content.holds(seed, 0, *total, bytes)).peekable();
        let is_right = |state: &State| {
            let wanted = state.tag.map(|tag| (TAG.to_owned(), tag.to_string()));
            tags.iter().cloned().eq(wanted)
        };
        if states.peek().is_some() && !states.any(is_right) {
            let finding = if history.exact().is_some() { Finding::Lost } else { Finding::HalfDone };
            self.tally.find(finding, key, format!("tags {tags:?} at home, may be {}", allowed(history)));
        }
    }
}

type Tags = BTreeSet<(String, String)>;

/// For evidence.
fn allowed(history: &History) -> String {
    let state = |state: &Option<State>| match state {
        None => "nothing".to_owned(),
        Some(State { content, tag }) => format!("version {} ({} bytes, tag {tag:?})", content.version, content.size),
    };
    history.allowed().iter().map(state).collect::<Vec<_>>().join(" or ")
}

async fn read(place: &str, s3: &S3, bucket: &str, key: &str) -> Result<Read, Failure> {
    patiently(place, || async {
        match s3::read(s3, bucket, key, None).await {
            Answer::Done((_, true)) => Answer::Unanswered("it says that it may be old".into()),
            Answer::Done((read, false)) => Answer::Done(read),
            Answer::Refused { status: 404, code } if code == "NoSuchBucket" => Answer::Done(Read::Nothing),
            Answer::Refused { status, code } => Answer::Refused { status, code },
            Answer::Unanswered(why) => Answer::Unanswered(why),
        }
    })
    .await
}

/// Asks again where there is no answer; in the end that is a failure, for nothing is proven then.
async fn patiently<T, F: Future<Output = Answer<T>>>(place: &str, ask: impl Fn() -> F) -> Result<T, Failure> {
    let mut tried = 0;
    loop {
        tried += 1;
        let why = match ask().await {
            Answer::Done(done) => return Ok(done),
            Answer::Refused { status, code } => format!("{status} {code}"),
            Answer::Unanswered(why) => why,
        };
        if tried == TRIES {
            return Err(Failure::new(format!("{place} cannot be read, so nothing is proven: {why}")));
        }
        tokio::time::sleep(PAUSE).await;
    }
}
