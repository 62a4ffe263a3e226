//! The Rust SDK against any S3 endpoint, in the hands of the tests: the tour, and a listing.
//!
//! `s3gateway-e2e ENDPOINT ACCESS_KEY SECRET_KEY tour BUCKET LOCATION FILE`: each step prints its name, the first false answer ends it
//! with a failure. An empty LOCATION sends no constraint, an empty FILE leaves out its upload (some servers know no signed trailer).
//!
//! `s3gateway-e2e ENDPOINT ACCESS_KEY SECRET_KEY list BUCKET PAGE`: prints every key, each followed by a zero byte.
use aws_sdk_s3::{
    Client,
    config::{BehaviorVersion, Credentials, Region},
    error::ProvideErrorMetadata,
    presigning::PresigningConfig,
    primitives::ByteStream,
    types::{
        BucketLocationConstraint, CompletedMultipartUpload, CompletedPart, CreateBucketConfiguration, Delete,
        ObjectAttributes, ObjectIdentifier, Tag, Tagging,
    },
};
use futures::{StreamExt, TryStreamExt};
use sha2::{Digest, Sha256};
use std::{error::Error, io::Write, path::Path, process::ExitCode, time::Duration};
use tokio::io::AsyncReadExt;

type Outcome<T = ()> = Result<T, Box<dyn Error + Send + Sync>>;

/// Smallest part that S3 accepts anywhere but last.
const PART: usize = 5 * 1024 * 1024;

struct Tour {
    client: Client,
    bucket: String,
    location: String,
}

#[tokio::main]
async fn main() -> ExitCode {
    match walk().await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("tour failed: {}", chain(error.as_ref()));
            ExitCode::FAILURE
        }
    }
}

fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(next) = source {
        text = format!("{text}: {next}");
        source = next.source();
    }
    text
}

fn ensure(holds: bool, what: &str) -> Outcome {
    if holds { Ok(()) } else { Err(what.into()) }
}

const USAGE: &str =
    "usage: s3gateway-e2e ENDPOINT ACCESS_KEY SECRET_KEY (tour BUCKET LOCATION FILE | list BUCKET PAGE)";

async fn walk() -> Outcome {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [endpoint, access_key, secret_key, what @ ..] = arguments.as_slice() else { return Err(USAGE.into()) };
    let config = aws_sdk_s3::Config::builder()
        .behavior_version(BehaviorVersion::latest())
        .endpoint_url(endpoint)
        .force_path_style(true)
        .region(Region::new("us-east-1"))
        .credentials_provider(Credentials::new(access_key, secret_key, None, None, "tour"))
        .build();
    let client = Client::from_conf(config);
    match what.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
        ["tour", bucket, location, file] => {
            let tour = Tour { client, bucket: (*bucket).into(), location: (*location).into() };
            tour.walk(Path::new(file)).await
        }
        ["list", bucket, page] => list(&client, bucket, page.parse()?).await,
        _ => Err(USAGE.into()),
    }
}

async fn list(client: &Client, bucket: &str, page: i32) -> Outcome {
    let mut pages = client.list_objects_v2().bucket(bucket).max_keys(page).into_paginator().send();
    let mut out = std::io::stdout().lock();
    while let Some(page) = pages.try_next().await? {
        for key in page.contents().iter().filter_map(|o| o.key()) {
            write!(out, "{key}\0")?;
        }
    }
    Ok(out.flush()?)
}

fn done(step: &str) {
    println!("ok {step}");
}

/// Bytes that differ from offset to offset, so that a shifted or repeated block shows.
fn bytes_of(size: usize) -> Vec<u8> {
    (0_u64..).flat_map(|n| n.wrapping_mul(0x9e37_79b9_7f4a_7c15).to_be_bytes()).take(size).collect()
}

fn digest(data: &[u8]) -> String {
    hex::encode(Sha256::digest(data))
}

/// Hash of all that a reader gives, without holding it.
async fn digest_of(mut reader: impl tokio::io::AsyncRead + Unpin) -> Outcome<String> {
    let (mut hash, mut piece) = (Sha256::new(), vec![0; 256 * 1024]);
    loop {
        match reader.read(&mut piece).await? {
            0 => return Ok(hex::encode(hash.finalize())),
            count => hash.update(piece.get(..count).unwrap_or_default()),
        }
    }
}

impl Tour {
    async fn walk(&self, file: &Path) -> Outcome {
        self.buckets().await?;
        done("buckets");
        self.objects().await?;
        done("objects");
        if file != Path::new("") {
            self.file(file).await?;
            done("file with signed trailer");
        }
        self.ranges_and_conditions().await?;
        done("ranges and conditions");
        self.multipart().await?;
        done("multipart");
        self.listing().await?;
        done("listing");
        self.copy().await?;
        done("copy");
        self.presigned().await?;
        done("presigned");
        self.tagging().await?;
        done("tagging");
        self.attributes().await?;
        done("attributes");
        self.deletes().await?;
        done("deletes");
        Ok(())
    }

    async fn buckets(&self) -> Outcome {
        let mut create = self.client.create_bucket().bucket(&self.bucket);
        if !self.location.is_empty() {
            let constraint = BucketLocationConstraint::from(self.location.as_str());
            create = create.create_bucket_configuration(
                CreateBucketConfiguration::builder().location_constraint(constraint).build(),
            );
        }
        create.send().await?;
        self.client.head_bucket().bucket(&self.bucket).send().await?;
        let listed = self.client.list_buckets().send().await?;
        ensure(listed.buckets().iter().any(|b| b.name() == Some(&self.bucket)), "the new bucket is listed")?;
        let location = self.client.get_bucket_location().bucket(&self.bucket).send().await?;
        let given = location.location_constraint().map(BucketLocationConstraint::as_str).unwrap_or_default();
        ensure(self.location.is_empty() || given.is_empty(), "us-east-1, which it signs for, has no name")?;
        let missing = self.client.head_bucket().bucket(format!("{}-missing", self.bucket)).send().await;
        ensure(missing.is_err_and(|e| e.into_service_error().is_not_found()), "HEAD of a missing bucket is 404")
    }

    async fn put(&self, key: &str, data: Vec<u8>) -> Outcome<String> {
        let answer = self.client.put_object().bucket(&self.bucket).key(key).body(ByteStream::from(data)).send().await?;
        Ok(answer.e_tag().unwrap_or_default().to_owned())
    }

    async fn get(&self, key: &str) -> Outcome<Vec<u8>> {
        let answer = self.client.get_object().bucket(&self.bucket).key(key).send().await?;
        Ok(answer.body.collect().await?.to_vec())
    }

    async fn objects(&self) -> Outcome {
        for size in [0, 1, 65_535, 65_537, 1_048_576, 3_000_001] {
            let key = format!("sizes/{size}");
            let data = bytes_of(size);
            let etag = self.put(&key, data.clone()).await?;
            ensure(digest(&self.get(&key).await?) == digest(&data), &format!("{size} bytes come back as they went"))?;
            let head = self.client.head_object().bucket(&self.bucket).key(&key).send().await?;
            ensure(head.content_length() == Some(i64::try_from(size)?), "HEAD has the size")?;
            ensure(head.e_tag() == Some(&etag), "HEAD has PUT's ETag")?;
        }
        let put = self.client.put_object().bucket(&self.bucket).key("headers").body(ByteStream::from_static(b"x"));
        put.content_type("text/x-tour").cache_control("max-age=7").metadata("Colour", "blue").send().await?;
        let head = self.client.head_object().bucket(&self.bucket).key("headers").send().await?;
        ensure(
            head.content_type() == Some("text/x-tour") && head.cache_control() == Some("max-age=7"),
            "headers are kept",
        )?;
        ensure(head.metadata().is_some_and(|m| m.get("colour").is_some_and(|v| v == "blue")), "metadata is kept")?;
        let missing = self.client.get_object().bucket(&self.bucket).key("missing").send().await;
        ensure(missing.is_err_and(|e| e.into_service_error().is_no_such_key()), "a missing key is NoSuchKey")
    }

    /// From a file the SDK streams: over plain HTTP as STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER.
    async fn file(&self, path: &Path) -> Outcome {
        let body = ByteStream::from_path(path).await?;
        self.client.put_object().bucket(&self.bucket).key("from-file").body(body).send().await?;
        let head = self.client.head_object().bucket(&self.bucket).key("from-file").send().await?;
        ensure(
            !head.content_encoding().unwrap_or_default().contains("aws-chunked"),
            "aws-chunked is no encoding of the object",
        )?;
        let got = self.client.get_object().bucket(&self.bucket).key("from-file").send().await?;
        let want = digest_of(tokio::fs::File::open(path).await?).await?;
        ensure(digest_of(got.body.into_async_read()).await? == want, "a streamed file comes back as it went")
    }

    async fn ranges_and_conditions(&self) -> Outcome {
        let data = bytes_of(100_000);
        let etag = self.put("range", data.clone()).await?;
        for (range, want) in [
            ("bytes=0-9", 0..10),
            ("bytes=99990-", 99_990..100_000),
            ("bytes=-7", 99_993..100_000),
            ("bytes=50000-60000", 50_000..60_001),
        ] {
            let answer = self.client.get_object().bucket(&self.bucket).key("range").range(range).send().await?;
            let got = answer.body.collect().await?.to_vec();
            ensure(data.get(want) == Some(got.as_slice()), range)?;
        }
        let beyond = self.client.get_object().bucket(&self.bucket).key("range").range("bytes=100000-").send().await;
        ensure(
            beyond.is_err_and(|e| e.into_service_error().code() == Some("InvalidRange")),
            "a range beyond the end is InvalidRange",
        )?;
        self.client.get_object().bucket(&self.bucket).key("range").if_match(&etag).send().await?;
        let same = self.client.get_object().bucket(&self.bucket).key("range").if_none_match(&etag).send().await;
        ensure(
            same.is_err_and(|e| e.raw_response().is_some_and(|r| r.status().as_u16() == 304)),
            "If-None-Match of the same ETag is 304",
        )?;
        let other = self.client.get_object().bucket(&self.bucket).key("range").if_match("\"0\"").send().await;
        ensure(
            other.is_err_and(|e| e.raw_response().is_some_and(|r| r.status().as_u16() == 412)),
            "If-Match of another ETag is 412",
        )
    }

    async fn multipart(&self) -> Outcome {
        let begun = self
            .client
            .create_multipart_upload()
            .bucket(&self.bucket)
            .key("multi")
            .metadata("kind", "parts")
            .send()
            .await?;
        let upload = begun.upload_id().ok_or("no upload id")?;
        let data = bytes_of(2 * PART + 12_345);
        let uploads = data.chunks(PART).zip(1..).map(|(part, number)| async move {
            let request =
                self.client.upload_part().bucket(&self.bucket).key("multi").upload_id(upload).part_number(number);
            let answer = request.body(ByteStream::from(part.to_vec())).send().await?;
            let part = CompletedPart::builder()
                .part_number(number)
                .set_e_tag(answer.e_tag)
                .set_checksum_crc32(answer.checksum_crc32);
            Outcome::Ok(part.build())
        });
        let parts: Vec<CompletedPart> = futures::stream::iter(uploads).buffered(3).try_collect().await?;
        let listed = self.client.list_parts().bucket(&self.bucket).key("multi").upload_id(upload).send().await?;
        ensure(listed.parts().len() == 3, "three parts are listed")?;
        let open = self.client.list_multipart_uploads().bucket(&self.bucket).send().await?;
        ensure(open.uploads().iter().any(|u| u.upload_id() == Some(upload)), "the open upload is listed")?;
        let whole = CompletedMultipartUpload::builder().set_parts(Some(parts)).build();
        self.client
            .complete_multipart_upload()
            .bucket(&self.bucket)
            .key("multi")
            .upload_id(upload)
            .multipart_upload(whole)
            .send()
            .await?;
        ensure(digest(&self.get("multi").await?) == digest(&data), "the parts make the object")?;
        let head = self.client.head_object().bucket(&self.bucket).key("multi").send().await?;
        ensure(head.e_tag().is_some_and(|e| e.ends_with("-3\"")), "the ETag says three parts")?;
        ensure(head.metadata().is_some_and(|m| m.contains_key("kind")), "metadata of the upload is kept")?;
        let begun = self.client.create_multipart_upload().bucket(&self.bucket).key("aborted").send().await?;
        self.client
            .abort_multipart_upload()
            .bucket(&self.bucket)
            .key("aborted")
            .set_upload_id(begun.upload_id)
            .send()
            .await?;
        let open = self.client.list_multipart_uploads().bucket(&self.bucket).send().await?;
        ensure(open.uploads().is_empty(), "no upload is left open")
    }

    async fn listing(&self) -> Outcome {
        let names = [
            "list/a b",
            "list/plus+plus",
            "list/percent%41",
            "list/ünïcode/☃",
            "list/<&>\"'",
            "list/sub/one",
            "list/sub/two",
        ];
        for name in names {
            self.put(name, name.as_bytes().to_vec()).await?;
        }
        let mut pages =
            self.client.list_objects_v2().bucket(&self.bucket).prefix("list/").max_keys(2).into_paginator().send();
        let mut seen = Vec::new();
        while let Some(page) = pages.try_next().await? {
            seen.extend(page.contents().iter().filter_map(|o| o.key().map(str::to_owned)));
        }
        let mut want: Vec<String> = names.iter().map(|n| (*n).to_owned()).collect();
        want.sort_unstable();
        ensure(seen == want, &format!("pages of two give every key in order: {seen:?}"))?;
        for name in names {
            ensure(self.get(name).await? == name.as_bytes(), name)?;
        }
        let grouped = self.client.list_objects_v2().bucket(&self.bucket).prefix("list/").delimiter("/").send().await?;
        let prefixes: Vec<_> = grouped.common_prefixes().iter().filter_map(|p| p.prefix()).collect();
        ensure(prefixes == ["list/sub/", "list/ünïcode/"], &format!("common prefixes: {prefixes:?}"))
    }

    async fn copy(&self) -> Outcome {
        let source = format!("{}/headers", self.bucket);
        let copied = self.client.copy_object().bucket(&self.bucket).key("copied").copy_source(&source).send().await?;
        ensure(copied.copy_object_result().is_some_and(|r| r.e_tag().is_some()), "the copy's answer has an ETag")?;
        let head = self.client.head_object().bucket(&self.bucket).key("copied").send().await?;
        ensure(head.content_type() == Some("text/x-tour"), "a copy keeps the headers")?;
        ensure(self.get("copied").await? == b"x", "a copy has the bytes")
    }

    /// `curl` sends what the URL says and nothing that the SDK would add.
    async fn presigned(&self) -> Outcome {
        let valid = PresigningConfig::expires_in(Duration::from_secs(120))?;
        let put = self.client.put_object().bucket(&self.bucket).key("pre signed").presigned(valid.clone()).await?;
        self.curl(&["--data-binary", "from curl", "-X", "PUT", "-H", "Content-Type:", put.uri()]).await?;
        let get = self.client.get_object().bucket(&self.bucket).key("pre signed").presigned(valid).await?;
        ensure(self.curl(&[get.uri()]).await? == b"from curl", "what curl put, curl gets")
    }

    async fn curl(&self, arguments: &[&str]) -> Outcome<Vec<u8>> {
        let output = tokio::process::Command::new("curl").args(["-sS", "-f"]).args(arguments).output().await?;
        ensure(output.status.success(), &format!("curl: {}", String::from_utf8_lossy(&output.stderr)))?;
        Ok(output.stdout)
    }

    async fn tagging(&self) -> Outcome {
        let tag = Tag::builder().key("team").value("blue + green").build()?;
        let tagging = Tagging::builder().tag_set(tag).build()?;
        self.client.put_object_tagging().bucket(&self.bucket).key("headers").tagging(tagging).send().await?;
        let tags = self.client.get_object_tagging().bucket(&self.bucket).key("headers").send().await?;
        ensure(tags.tag_set().iter().any(|t| t.key() == "team" && t.value() == "blue + green"), "the tag comes back")?;
        self.client.delete_object_tagging().bucket(&self.bucket).key("headers").send().await?;
        let tags = self.client.get_object_tagging().bucket(&self.bucket).key("headers").send().await?;
        ensure(tags.tag_set().is_empty(), "the tags are gone")
    }

    async fn attributes(&self) -> Outcome {
        let request = self.client.get_object_attributes().bucket(&self.bucket).key("range");
        let answer = request
            .object_attributes(ObjectAttributes::Etag)
            .object_attributes(ObjectAttributes::ObjectSize)
            .send()
            .await?;
        ensure(answer.object_size() == Some(100_000), "the attributes have the size")?;
        ensure(answer.e_tag().is_some_and(|e| !e.is_empty()), "the attributes have the ETag")
    }

    async fn deletes(&self) -> Outcome {
        self.client.delete_object().bucket(&self.bucket).key("copied").send().await?;
        let refused = self.client.delete_bucket().bucket(&self.bucket).send().await;
        ensure(
            refused.is_err_and(|e| e.into_service_error().code() == Some("BucketNotEmpty")),
            "a bucket that is not empty stays",
        )?;
        let listed = self.client.list_objects_v2().bucket(&self.bucket).send().await?;
        let keys = listed.contents().iter().filter_map(|o| o.key()).map(|k| ObjectIdentifier::builder().key(k).build());
        let batch = Delete::builder().set_objects(Some(keys.collect::<Result<_, _>>()?)).build()?;
        let answer = self.client.delete_objects().bucket(&self.bucket).delete(batch).send().await?;
        ensure(
            answer.errors().is_empty() && answer.deleted().len() == listed.contents().len(),
            "DeleteObjects deletes all",
        )?;
        self.client.delete_bucket().bucket(&self.bucket).send().await?;
        let gone = self.client.head_bucket().bucket(&self.bucket).send().await;
        ensure(gone.is_err_and(|e| e.into_service_error().is_not_found()), "the bucket is gone")
    }
}
