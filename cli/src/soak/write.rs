//! One write to one key: what it does, and how it is sent.
use super::{
    content::Content,
    history::{Effect, Outcome},
    s3::{Answer, sort},
};
use aws_sdk_s3::{
    Client,
    types::{CompletedMultipartUpload, CompletedPart, Tag, Tagging},
};
use s3gateway_s3::uri;

/// The least that S3 takes as a part that is not the last.
pub const PART: usize = 5 * 1024 * 1024;
/// The one tag that objects get.
pub const TAG: &str = "soak";

/// Which request does it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum How {
    /// PutObject.
    Put,
    /// PutObject with `If-None-Match: *`.
    PutIfAbsent,
    /// CreateMultipartUpload, UploadPart and CompleteMultipartUpload.
    Multipart,
    /// CopyObject of this key.
    CopyOf(String),
    /// DeleteObject.
    Delete,
    /// PutObjectTagging.
    Tag,
}

impl How {
    /// As it is counted.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Put => "put",
            Self::PutIfAbsent => "put if absent",
            Self::Multipart => "multipart",
            Self::CopyOf(_) => "copy",
            Self::Delete => "delete",
            Self::Tag => "tag",
        }
    }
}

/// One write.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Write {
    /// Where to.
    pub key: String,
    /// What is true once it has happened.
    pub effect: Effect,
    /// By which request.
    pub how: How,
}

/// What a write came to, and in which words.
pub type Sent = (Outcome, String);

impl Write {
    /// Sends it once.
    pub async fn send(&self, s3: &Client, bucket: &str, seed: u64) -> Sent {
        match (&self.how, &self.effect) {
            (How::Multipart, Effect::Becomes(state)) => {
                multipart(s3, bucket, &self.key, &state.content, state.tag, seed).await
            }
            (How::CopyOf(source), _) => {
                let source = format!("{bucket}/{}", uri::encode_path(source));
                settle(sort(s3.copy_object().bucket(bucket).key(&self.key).copy_source(source).send().await))
            }
            (_, Effect::Becomes(state)) => {
                let body = state.content.bytes(seed, 0, state.content.size);
                let put = s3.put_object().bucket(bucket).key(&self.key).body(body.into());
                let put = put.set_tagging(state.tag.map(|tag| format!("{TAG}={tag}")));
                let put = put.set_if_none_match((self.how == How::PutIfAbsent).then(|| "*".to_owned()));
                settle(sort(put.send().await))
            }
            (_, Effect::Gone) => settle(sort(s3.delete_object().bucket(bucket).key(&self.key).send().await)),
            (_, Effect::Tagged(tag)) => {
                let tag = Tag::builder().key(TAG).value(tag.to_string()).build();
                let tagging = tag.and_then(|tag| Tagging::builder().tag_set(tag).build());
                let Ok(tagging) = tagging else { return (Outcome::Refused, "no tag".into()) };
                settle(sort(s3.put_object_tagging().bucket(bucket).key(&self.key).tagging(tagging).send().await))
            }
        }
    }
}

fn settle<T>(answer: Answer<T>) -> Sent {
    match answer {
        Answer::Done(_) => (Outcome::Acknowledged, String::new()),
        Answer::Refused { status, code } => (Outcome::Refused, format!("{status} {code}")),
        Answer::Unanswered(why) => (Outcome::Unknown, why),
    }
}

/// Nothing is there before the completion, so what fails before it has not happened.
async fn multipart(s3: &Client, bucket: &str, key: &str, content: &Content, tag: Option<u64>, seed: u64) -> Sent {
    let create = s3.create_multipart_upload().bucket(bucket).key(key);
    let create = create.set_tagging(tag.map(|tag| format!("{TAG}={tag}"))).send().await;
    let upload = match sort(create) {
        Answer::Done(created) => created.upload_id.unwrap_or_default(),
        other => return (Outcome::Refused, settle(other).1),
    };
    let mut parts = Vec::new();
    for (number, offset) in (1..).zip((0..content.size).step_by(PART)) {
        let body = content.bytes(seed, offset, PART).into();
        let part = s3.upload_part().bucket(bucket).key(key).upload_id(&upload).part_number(number).body(body);
        match sort(part.send().await) {
            Answer::Done(part) => {
                parts.push(CompletedPart::builder().part_number(number).set_e_tag(part.e_tag).build());
            }
            other => {
                // Left open, it would only take room; nobody waits for whether this succeeds.
                let _ = s3.abort_multipart_upload().bucket(bucket).key(key).upload_id(&upload).send().await;
                return (Outcome::Refused, settle(other).1);
            }
        }
    }
    let whole = CompletedMultipartUpload::builder().set_parts(Some(parts)).build();
    let complete = s3.complete_multipart_upload().bucket(bucket).key(key).upload_id(upload).multipart_upload(whole);
    // As stock clients do; one that is not answered may have been done.
    match settle(sort(complete.clone().send().await)) {
        (Outcome::Unknown, _) => match settle(sort(complete.send().await)) {
            (Outcome::Refused, why) => (Outcome::Unknown, why),
            again => again,
        },
        answered => answered,
    }
}
