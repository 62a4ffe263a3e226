import java.io.OutputStream;
import java.net.HttpURLConnection;
import java.net.URI;
import java.net.URL;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Base64;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.Random;
import java.util.concurrent.Callable;
import java.util.stream.Collectors;
import software.amazon.awssdk.auth.credentials.AwsBasicCredentials;
import software.amazon.awssdk.auth.credentials.StaticCredentialsProvider;
import software.amazon.awssdk.core.ResponseBytes;
import software.amazon.awssdk.core.sync.RequestBody;
import software.amazon.awssdk.http.nio.netty.NettyNioAsyncHttpClient;
import software.amazon.awssdk.http.urlconnection.UrlConnectionHttpClient;
import software.amazon.awssdk.regions.Region;
import software.amazon.awssdk.retries.DefaultRetryStrategy;
import software.amazon.awssdk.services.s3.S3AsyncClient;
import software.amazon.awssdk.services.s3.S3Client;
import software.amazon.awssdk.services.s3.S3Configuration;
import software.amazon.awssdk.services.s3.model.*;
import software.amazon.awssdk.services.s3.presigner.S3Presigner;
import software.amazon.awssdk.services.s3.presigner.model.PresignedPutObjectRequest;
import software.amazon.awssdk.transfer.s3.S3TransferManager;

/**
 * The tour of the AWS SDK for Java 2 at one endpoint: the client that blocks, the one that does not, and the transfer manager.
 * Arguments: ENDPOINT ACCESS_KEY SECRET_KEY BUCKET LOCATION. One line for each step that held; the first that does not ends it.
 */
public final class Tour {
    private static final int MIB = 1024 * 1024;
    private static final int PART = 5 * MIB;
    private final String endpoint;
    private final StaticCredentialsProvider credentials;
    private final String bucket;
    private final String location;
    private final S3Client s3;

    private Tour(String endpoint, String accessKey, String secretKey, String bucket, String location) {
        this.endpoint = endpoint;
        this.bucket = bucket;
        this.location = location;
        credentials = credentials(accessKey, secretKey);
        s3 = client(credentials);
    }

    private interface Step {
        void run() throws Exception;
    }

    public static void main(String[] arguments) {
        Tour tour = new Tour(arguments[0], arguments[1], arguments[2], arguments[3], arguments[4]);
        Map<String, Step> steps = new LinkedHashMap<>();
        steps.put("buckets", tour::buckets);
        steps.put("objects", tour::objects);
        steps.put("transfers", tour::transfers);
        steps.put("multipart", tour::multipart);
        steps.put("ranges", tour::ranges);
        steps.put("listing", tour::listing);
        steps.put("copy", tour::copy);
        steps.put("tagging", tour::tagging);
        steps.put("conditions", tour::conditions);
        steps.put("checksums", tour::checksums);
        steps.put("versions", tour::versions);
        steps.put("presigned", tour::presigned);
        steps.put("errors", tour::errors);
        steps.put("deletes", tour::deletes);
        steps.forEach((name, step) -> {
            try {
                step.run();
            } catch (Throwable fault) {
                System.err.println(name + ": ");
                fault.printStackTrace();
                System.exit(1);
            }
            System.out.println("ok " + name);
        });
        System.exit(0); // the threads of the client that does not block would go on for a while
    }

    static StaticCredentialsProvider credentials(String accessKey, String secretKey) {
        return StaticCredentialsProvider.create(AwsBasicCredentials.create(accessKey, secretKey));
    }

    /** One attempt: a fault that a retry would hide is a fault. */
    private S3Client client(StaticCredentialsProvider credentials) {
        return S3Client.builder().endpointOverride(URI.create(endpoint)).region(Region.US_EAST_1).credentialsProvider(credentials).forcePathStyle(true)
                .httpClientBuilder(UrlConnectionHttpClient.builder()).overrideConfiguration(c -> c.retryStrategy(DefaultRetryStrategy.doNotRetry())).build();
    }

    private static byte[] payload(int size, long seed) {
        byte[] data = new byte[size];
        new Random(seed).nextBytes(data);
        return data;
    }

    private static void same(Object got, Object wanted, String what) {
        if (!Objects.deepEquals(got, wanted)) {
            boolean bytes = got instanceof byte[];
            throw new AssertionError(what + ": " + (bytes ? "other bytes, " + ((byte[]) got).length : "got " + got + ", wanted " + wanted));
        }
    }

    /** The call has to fail as the SDK's own exception for it, with code and status, and an id to ask the operator about. */
    private static void refused(Class<? extends S3Exception> type, String code, int status, Callable<?> call) throws Exception {
        try {
            call.call();
        } catch (S3Exception refusal) {
            same(refusal.getClass(), type, code + ", " + refusal.getMessage());
            same(refusal.statusCode(), status, code);
            if (refusal.awsErrorDetails() != null && refusal.awsErrorDetails().errorCode() != null) {
                same(refusal.awsErrorDetails().errorCode(), code, "code");
            }
            if (refusal.requestId() == null) {
                throw new AssertionError(code + " has no request id");
            }
            return;
        }
        throw new AssertionError(code + " was expected, it was accepted");
    }

    private void put(String key, byte[] body) {
        s3.putObject(r -> r.bucket(bucket).key(key), RequestBody.fromBytes(body));
    }

    private byte[] read(String key) {
        return s3.getObjectAsBytes(r -> r.bucket(bucket).key(key)).asByteArray();
    }

    private void create(String name) {
        s3.createBucket(r -> {
            r.bucket(name);
            if (!location.isEmpty()) {
                r.createBucketConfiguration(c -> c.locationConstraint(location));
            }
        });
    }

    private void buckets() throws Exception {
        create(bucket);
        refused(BucketAlreadyOwnedByYouException.class, "BucketAlreadyOwnedByYou", 409, () -> {
            create(bucket);
            return null;
        });
        s3.headBucket(r -> r.bucket(bucket));
        same(s3.listBuckets().buckets().stream().filter(b -> b.name().equals(bucket) && b.creationDate() != null).count(), 1L, "buckets of the name");
        if (!location.isEmpty()) {
            // us-east-1, which it signs for, has no name.
            var constraint = s3.getBucketLocation(r -> r.bucket(bucket)).locationConstraintAsString();
            same(constraint == null ? "" : constraint, "", "location");
        }
    }

    private void objects() {
        for (int size : new int[] {0, 1, 65_535, 65_537, MIB, 3 * MIB + 1}) {
            byte[] data = payload(size, size);
            String key = "sizes/" + size;
            Map<String, String> given = Map.of("size", "" + size);
            s3.putObject(r -> r.bucket(bucket).key(key).contentType("text/x-java").metadata(given), RequestBody.fromBytes(data));
            same(read(key), data, key);
            HeadObjectResponse head = s3.headObject(r -> r.bucket(bucket).key(key));
            same(List.of(head.contentLength(), head.contentType(), head.metadata()), List.of((long) size, "text/x-java", given), key);
        }
    }

    /** From a file and back, in parts at once, by the client that does not block. */
    private void transfers() throws Exception {
        byte[] data = payload(24 * MIB + 777, 1);
        Path up = Files.createTempFile("tour", "up");
        Path down = Files.createTempFile("tour", "down");
        try (S3AsyncClient async = S3AsyncClient.builder().endpointOverride(URI.create(endpoint)).region(Region.US_EAST_1).credentialsProvider(credentials)
                .forcePathStyle(true).multipartEnabled(true).multipartConfiguration(c -> c.minimumPartSizeInBytes((long) PART).thresholdInBytes((long) PART))
                .httpClientBuilder(NettyNioAsyncHttpClient.builder()).overrideConfiguration(c -> c.retryStrategy(DefaultRetryStrategy.doNotRetry())).build();
                S3TransferManager manager = S3TransferManager.builder().s3Client(async).build()) {
            Files.write(up, data);
            manager.uploadFile(r -> r.source(up).putObjectRequest(p -> p.bucket(bucket).key("large"))).completionFuture().join();
            manager.downloadFile(r -> r.destination(down).getObjectRequest(g -> g.bucket(bucket).key("large"))).completionFuture().join();
            same(Files.readAllBytes(down), data, "what came back");
            manager.copy(r -> r.copyObjectRequest(c -> c.sourceBucket(bucket).sourceKey("large").destinationBucket(bucket).destinationKey("large-copy"))).completionFuture().join();
            same(read("large-copy"), data, "copied in parts");
        } finally {
            Files.delete(up);
            Files.delete(down);
        }
        GetObjectAttributesResponse seen = s3.getObjectAttributes(r -> r.bucket(bucket).key("large")
                .objectAttributes(ObjectAttributes.OBJECT_SIZE, ObjectAttributes.OBJECT_PARTS, ObjectAttributes.CHECKSUM));
        same(List.of(seen.objectSize(), seen.objectParts().totalPartsCount()), List.of((long) data.length, 5), "attributes");
    }

    private void multipart() throws Exception {
        byte[] data = payload(PART + 1000, 2);
        String key = "multi/part";
        String upload = s3.createMultipartUpload(r -> r.bucket(bucket).key(key)).uploadId();
        List<CompletedPart> parts = new ArrayList<>();
        int at = 0;
        for (int number = 1; number <= 2; number++) {
            byte[] piece = Arrays.copyOfRange(data, at, Math.min(at + PART, data.length));
            at += piece.length;
            int n = number;
            UploadPartResponse sent = s3.uploadPart(r -> r.bucket(bucket).key(key).uploadId(upload).partNumber(n), RequestBody.fromBytes(piece));
            parts.add(CompletedPart.builder().partNumber(n).eTag(sent.eTag()).checksumCRC32(sent.checksumCRC32()).build());
        }
        List<Long> sizes = s3.listParts(r -> r.bucket(bucket).key(key).uploadId(upload)).parts().stream().map(Part::size).collect(Collectors.toList());
        same(sizes, List.of((long) PART, 1000L), "parts");
        s3.completeMultipartUpload(r -> r.bucket(bucket).key(key).uploadId(upload).multipartUpload(m -> m.parts(parts)));
        same(read(key), data, key);
        String given = s3.createMultipartUpload(r -> r.bucket(bucket).key(key)).uploadId();
        s3.abortMultipartUpload(r -> r.bucket(bucket).key(key).uploadId(given));
        refused(NoSuchUploadException.class, "NoSuchUpload", 404, () -> s3.abortMultipartUpload(r -> r.bucket(bucket).key(key).uploadId(given)));
    }

    private void ranges() throws Exception {
        byte[] data = payload(100_000, 3);
        put("range", data);
        Map<String, byte[]> wanted = Map.of("bytes=0-0", Arrays.copyOf(data, 1), "bytes=-5", Arrays.copyOfRange(data, 99_995, 100_000), "bytes=70000-", Arrays.copyOfRange(data, 70_000, 100_000));
        wanted.forEach((range, part) -> {
            ResponseBytes<GetObjectResponse> got = s3.getObjectAsBytes(r -> r.bucket(bucket).key("range").range(range));
            same(got.asByteArray(), part, range);
            same(got.response().contentRange().endsWith("/100000"), true, range);
        });
        refused(S3Exception.class, "InvalidRange", 416, () -> s3.getObjectAsBytes(r -> r.bucket(bucket).key("range").range("bytes=100000-")));
    }

    private void listing() {
        List<String> keys = new ArrayList<>();
        for (String name : new String[] {"a b", "a+b", "a%2Fb", "ä ö/☃", "<&>\"'", "~-._!*()$@=;:,?#[]", "a//b", "trail/", "😀"}) {
            keys.add("odd/" + name);
            put("odd/" + name, name.getBytes(StandardCharsets.UTF_8));
            same(read("odd/" + name), name.getBytes(StandardCharsets.UTF_8), name);
        }
        keys.sort((a, b) -> Arrays.compareUnsigned(a.getBytes(StandardCharsets.UTF_8), b.getBytes(StandardCharsets.UTF_8)));
        List<String> seen = s3.listObjectsV2Paginator(r -> r.bucket(bucket).prefix("odd/").maxKeys(2)).contents().stream().map(S3Object::key).collect(Collectors.toList());
        same(seen, keys, "keys");
        List<String> prefixes = s3.listObjectsV2(r -> r.bucket(bucket).prefix("odd/").delimiter("/")).commonPrefixes().stream().map(CommonPrefix::prefix).collect(Collectors.toList());
        same(prefixes, List.of("odd/a/", "odd/trail/", "odd/ä ö/"), "prefixes");
    }

    private void copy() {
        s3.putObject(r -> r.bucket(bucket).key("source é+").metadata(Map.of("kind", "first")), RequestBody.fromString("copied"));
        s3.copyObject(r -> r.sourceBucket(bucket).sourceKey("source é+").destinationBucket(bucket).destinationKey("copy"));
        same(s3.headObject(r -> r.bucket(bucket).key("copy")).metadata(), Map.of("kind", "first"), "metadata");
        s3.copyObject(r -> r.sourceBucket(bucket).sourceKey("source é+").destinationBucket(bucket).destinationKey("copy")
                .metadataDirective(MetadataDirective.REPLACE).metadata(Map.of("kind", "second")));
        same(s3.headObject(r -> r.bucket(bucket).key("copy")).metadata(), Map.of("kind", "second"), "metadata");
        same(new String(read("copy"), StandardCharsets.UTF_8), "copied", "content");
    }

    private Map<String, String> tags() {
        return s3.getObjectTagging(r -> r.bucket(bucket).key("tagged")).tagSet().stream().collect(Collectors.toMap(Tag::key, Tag::value));
    }

    private void tagging() {
        Tagging first = Tagging.builder().tagSet(tag("a", "1"), tag("b c", "+/@")).build();
        s3.putObject(r -> r.bucket(bucket).key("tagged").tagging(first), RequestBody.empty());
        same(tags(), Map.of("a", "1", "b c", "+/@"), "tags");
        s3.putObjectTagging(r -> r.bucket(bucket).key("tagged").tagging(t -> t.tagSet(tag("only", "one"))));
        same(tags(), Map.of("only", "one"), "tags");
        s3.deleteObjectTagging(r -> r.bucket(bucket).key("tagged"));
        same(tags(), Map.of(), "tags");
    }

    private static Tag tag(String key, String value) {
        return Tag.builder().key(key).value(value).build();
    }

    private void conditions() throws Exception {
        String key = "condition";
        String etag = s3.putObject(r -> r.bucket(bucket).key(key).ifNoneMatch("*"), RequestBody.fromString("one")).eTag();
        refused(S3Exception.class, "PreconditionFailed", 412, () -> s3.putObject(r -> r.bucket(bucket).key(key).ifNoneMatch("*"), RequestBody.fromString("two")));
        s3.putObject(r -> r.bucket(bucket).key(key).ifMatch(etag), RequestBody.fromString("three"));
        refused(S3Exception.class, "PreconditionFailed", 412, () -> s3.putObject(r -> r.bucket(bucket).key(key).ifMatch(etag), RequestBody.fromString("four")));
        refused(S3Exception.class, "PreconditionFailed", 412, () -> s3.getObjectAsBytes(r -> r.bucket(bucket).key(key).ifMatch(etag)));
        same(new String(read(key), StandardCharsets.UTF_8), "three", "content");
    }

    private void checksums() throws Exception {
        byte[] data = payload(70_000, 4);
        for (ChecksumAlgorithm algorithm : List.of(ChecksumAlgorithm.CRC32, ChecksumAlgorithm.CRC32_C, ChecksumAlgorithm.SHA1, ChecksumAlgorithm.SHA256)) {
            s3.putObject(r -> r.bucket(bucket).key("sum/" + algorithm).checksumAlgorithm(algorithm), RequestBody.fromBytes(data));
            ResponseBytes<GetObjectResponse> got = s3.getObjectAsBytes(r -> r.bucket(bucket).key("sum/" + algorithm).checksumMode(ChecksumMode.ENABLED));
            GetObjectResponse answer = got.response();
            long known = Arrays.asList(answer.checksumCRC32(), answer.checksumCRC32C(), answer.checksumSHA1(), answer.checksumSHA256()).stream().filter(Objects::nonNull).count();
            same(known, 1L, algorithm + " checksums");
            same(got.asByteArray(), data, "" + algorithm);
        }
        String wrong = Base64.getEncoder().encodeToString(new byte[4]);
        refused(S3Exception.class, "BadDigest", 400, () -> s3.putObject(r -> r.bucket(bucket).key("sum/wrong").checksumCRC32(wrong), RequestBody.fromBytes(data)));
        refused(NoSuchKeyException.class, "NoSuchKey", 404, () -> s3.headObject(r -> r.bucket(bucket).key("sum/wrong")));
    }

    private void versions() throws Exception {
        String kept = bucket + "-versions";
        create(kept);
        s3.putBucketVersioning(r -> r.bucket(kept).versioningConfiguration(c -> c.status(BucketVersioningStatus.ENABLED)));
        List<String> made = new ArrayList<>();
        for (String body : List.of("one", "two")) {
            made.add(s3.putObject(r -> r.bucket(kept).key("k"), RequestBody.fromString(body)).versionId());
        }
        same(s3.getObjectAsBytes(r -> r.bucket(kept).key("k").versionId(made.get(0))).asUtf8String(), "one", "old version");
        DeleteObjectResponse gone = s3.deleteObject(r -> r.bucket(kept).key("k"));
        same(gone.deleteMarker(), true, "delete marker");
        refused(NoSuchKeyException.class, "NoSuchKey", 404, () -> s3.getObjectAsBytes(r -> r.bucket(kept).key("k")));
        ListObjectVersionsResponse listed = s3.listObjectVersions(r -> r.bucket(kept));
        same(listed.versions().stream().map(ObjectVersion::versionId).collect(Collectors.toList()), List.of(made.get(1), made.get(0)), "versions");
        made.add(gone.versionId());
        List<ObjectIdentifier> all = made.stream().map(v -> ObjectIdentifier.builder().key("k").versionId(v).build()).collect(Collectors.toList());
        same(s3.deleteObjects(r -> r.bucket(kept).delete(d -> d.objects(all))).errors(), List.of(), "errors");
        s3.deleteBucket(r -> r.bucket(kept));
    }

    private void presigned() throws Exception {
        try (S3Presigner presigner = presigner(endpoint, credentials)) {
            PresignedPutObjectRequest signed = presigner.presignPutObject(r -> r.signatureDuration(Duration.ofMinutes(1))
                    .putObjectRequest(p -> p.bucket(bucket).key("signed in a URL").contentType("text/x-url").metadata(Map.of("kind", "signed"))));
            HttpURLConnection put = (HttpURLConnection) signed.url().openConnection();
            put.setDoOutput(true);
            put.setRequestMethod("PUT");
            signed.signedHeaders().forEach((name, values) -> values.forEach(value -> put.addRequestProperty(name, value)));
            try (OutputStream body = put.getOutputStream()) {
                body.write("by the JDK".getBytes(StandardCharsets.UTF_8));
            }
            same(put.getResponseCode(), 200, "presigned PUT");
            URL get = presigner.presignGetObject(r -> r.signatureDuration(Duration.ofMinutes(1)).getObjectRequest(g -> g.bucket(bucket).key("signed in a URL"))).url();
            same(new String(get.openStream().readAllBytes(), StandardCharsets.UTF_8), "by the JDK", "presigned GET");
        }
        HeadObjectResponse head = s3.headObject(r -> r.bucket(bucket).key("signed in a URL"));
        same(List.of(head.contentType(), head.metadata()), List.of("text/x-url", Map.of("kind", "signed")), "headers");
    }

    static S3Presigner presigner(String endpoint, StaticCredentialsProvider credentials) {
        return S3Presigner.builder().endpointOverride(URI.create(endpoint)).region(Region.US_EAST_1).credentialsProvider(credentials)
                .serviceConfiguration(S3Configuration.builder().pathStyleAccessEnabled(true).build()).build();
    }

    private void errors() throws Exception {
        refused(NoSuchKeyException.class, "NoSuchKey", 404, () -> read("missing"));
        refused(NoSuchKeyException.class, "NoSuchKey", 404, () -> s3.headObject(r -> r.bucket(bucket).key("missing")));
        refused(NoSuchBucketException.class, "NoSuchBucket", 404, () -> s3.listObjectsV2(r -> r.bucket(bucket + "-missing")));
        refused(NoSuchBucketException.class, "NoSuchBucket", 404, () -> s3.headBucket(r -> r.bucket(bucket + "-missing")));
        refused(S3Exception.class, "BucketNotEmpty", 409, () -> s3.deleteBucket(r -> r.bucket(bucket)));
        S3Client stranger = client(credentials(credentials.resolveCredentials().accessKeyId(), "wrong"));
        refused(S3Exception.class, "SignatureDoesNotMatch", 403, stranger::listBuckets);
    }

    private void deletes() {
        s3.listObjectsV2Paginator(r -> r.bucket(bucket)).forEach(page -> {
            List<ObjectIdentifier> keys = page.contents().stream().map(o -> ObjectIdentifier.builder().key(o.key()).build()).collect(Collectors.toList());
            DeleteObjectsResponse gone = s3.deleteObjects(r -> r.bucket(bucket).delete(d -> d.objects(keys)));
            same(List.of(gone.deleted().size(), gone.errors().size()), List.of(keys.size(), 0), "deleted");
        });
        s3.deleteBucket(r -> r.bucket(bucket));
    }
}
