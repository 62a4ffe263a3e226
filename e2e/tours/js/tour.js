// The tour of the AWS SDK for JavaScript v3 at one endpoint, as a TypeScript or Node application uses it.
// Usage: node tour.js ENDPOINT ACCESS_KEY SECRET_KEY BUCKET LOCATION. One line for each step that held; the first that does not ends it.
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { Readable } from 'node:stream';
import * as sdk from '@aws-sdk/client-s3';
import { Upload } from '@aws-sdk/lib-storage';
import { getSignedUrl } from '@aws-sdk/s3-request-presigner';

const [endpoint, accessKeyId, secretAccessKey, Bucket, location] = process.argv.slice(2);
const MIB = 1024 * 1024;
const PART = 5 * MIB;
// One attempt: a fault that a retry would hide is a fault.
const s3 = new sdk.S3({ endpoint, region: 'us-east-1', credentials: { accessKeyId, secretAccessKey }, forcePathStyle: true, maxAttempts: 1 });

/** Bytes of which no block repeats: SHA-256 of a counter. */
function payload(size, seed = 'js') {
  const blocks = [];
  for (let n = 0; n * 32 < size; n++) blocks.push(createHash('sha256').update(`${seed}/${n}`).digest());
  return Buffer.concat(blocks).subarray(0, size);
}

const sha256 = (bytes) => createHash('sha256').update(bytes).digest('hex');
const bytesOf = async (answer) => Buffer.from(await answer.Body.transformToByteArray());
const read = async (Key, more = {}) => bytesOf(await s3.getObject({ Bucket, Key, ...more }));

function same(got, wanted, what) {
  assert.equal(got.length, wanted.length, `${what}: length`);
  assert.equal(sha256(got), sha256(wanted), `${what}: content`);
}

/** The call has to fail as an error of the SDK's own class, with name and status, and an id to ask the operator about. */
async function refused(call, type, name, status) {
  const error = await call().then(() => assert.fail(`${name} was expected, it was accepted`), (error) => error);
  assert.ok(error instanceof type, `${name}: got ${error.constructor.name} ${error.name}: ${error.message}`);
  assert.equal(error.name, name);
  assert.equal(error.$metadata.httpStatusCode, status, name);
  assert.ok(error.$metadata.requestId, `${name} has no request id`);
}

const create = (bucket) => s3.createBucket({ Bucket: bucket, ...(location ? { CreateBucketConfiguration: { LocationConstraint: location } } : {}) });

const steps = {
  async buckets() {
    await create(Bucket);
    await refused(() => create(Bucket), sdk.BucketAlreadyOwnedByYou, 'BucketAlreadyOwnedByYou', 409);
    await s3.headBucket({ Bucket });
    assert.ok((await s3.listBuckets({})).Buckets.some((b) => b.Name === Bucket && b.CreationDate instanceof Date));
    if (location) assert.ok(!(await s3.getBucketLocation({ Bucket })).LocationConstraint, 'us-east-1, which it signs for, has no name');
  },

  async objects() {
    for (const size of [0, 1, 65_535, 65_537, MIB, 3 * MIB + 1]) { // from 2 MiB on with Expect: 100-continue
      const data = payload(size);
      const put = await s3.putObject({ Bucket, Key: `sizes/${size}`, Body: data, ContentType: 'text/x-js', Metadata: { size: `${size}`, umlaut: 'ae' } });
      assert.equal(put.ETag, `"${createHash('md5').update(data).digest('hex')}"`);
      const got = await s3.getObject({ Bucket, Key: `sizes/${size}` });
      same(await bytesOf(got), data, `object of ${size}`);
      assert.deepEqual([got.ContentType, got.Metadata], ['text/x-js', { size: `${size}`, umlaut: 'ae' }]);
      assert.equal((await s3.headObject({ Bucket, Key: `sizes/${size}` })).ContentLength, size);
    }
  },

  async streams() { // chunked, with a trailer, without a length that HTTP knows of
    const data = payload(300_000, 'stream');
    await s3.putObject({ Bucket, Key: 'streamed', Body: Readable.from([data.subarray(0, 100_000), data.subarray(100_000)]), ContentLength: data.length });
    same(await read('streamed'), data, 'stream');
    assert.equal((await s3.headObject({ Bucket, Key: 'streamed' })).ContentEncoding, undefined);
  },

  async uploads() { // parts at once, as lib-storage makes them
    const data = payload(24 * MIB + 777, 'upload');
    const upload = new Upload({ client: s3, params: { Bucket, Key: 'large', Body: Readable.from(function* () { for (let at = 0; at < data.length; at += 333_333) yield data.subarray(at, at + 333_333); }()) }, partSize: PART, queueSize: 3 });
    const done = await upload.done();
    assert.equal(done.Key, 'large');
    assert.equal(done.Location, `${endpoint}/${Bucket}/large`);
    assert.match(done.ETag, /-5"$/);
    const got = await s3.getObject({ Bucket, Key: 'large', ChecksumMode: 'ENABLED' });
    assert.ok(got.ChecksumCRC32, 'the upload was made with checksums');
    same(await bytesOf(got), data, 'upload');
    same(await read('large', { Range: `bytes=${PART - 10}-${PART + 9}` }), data.subarray(PART - 10, PART + 10), 'range over two parts');
    const part = await s3.getObject({ Bucket, Key: 'large', PartNumber: 2 });
    assert.equal(part.PartsCount, 5);
    same(await bytesOf(part), data.subarray(PART, 2 * PART), 'second part');
    const attributes = await s3.getObjectAttributes({ Bucket, Key: 'large', ObjectAttributes: ['ETag', 'ObjectSize', 'ObjectParts', 'Checksum'] });
    assert.equal(attributes.ObjectSize, data.length);
    assert.equal(attributes.ObjectParts.TotalPartsCount, 5);
  },

  async multipart() {
    const data = payload(PART + 1000, 'parts');
    const k = { Bucket, Key: 'multi/part' };
    const { UploadId } = await s3.createMultipartUpload({ ...k, ContentType: 'text/x-multi' });
    const Parts = [];
    for (const [PartNumber, Body] of [[1, data.subarray(0, PART)], [2, data.subarray(PART)]]) {
      const { ETag, ChecksumCRC32 } = await s3.uploadPart({ ...k, UploadId, PartNumber, Body });
      Parts.push({ PartNumber, ETag, ChecksumCRC32 });
    }
    assert.deepEqual((await s3.listParts({ ...k, UploadId })).Parts.map((p) => p.Size), [PART, 1000]);
    assert.deepEqual((await s3.listMultipartUploads({ Bucket })).Uploads.map((u) => u.Key), ['multi/part']);
    await s3.completeMultipartUpload({ ...k, UploadId, MultipartUpload: { Parts } });
    same(await read('multi/part'), data, 'multipart');
    await refused(() => s3.abortMultipartUpload({ ...k, UploadId }), sdk.NoSuchUpload, 'NoSuchUpload', 404);
    const other = (await s3.createMultipartUpload(k)).UploadId;
    await s3.abortMultipartUpload({ ...k, UploadId: other });
    assert.equal((await s3.listMultipartUploads({ Bucket })).Uploads, undefined);
  },

  async ranges() {
    const data = payload(100_000, 'range');
    await s3.putObject({ Bucket, Key: 'range', Body: data });
    for (const [Range, part] of [['bytes=0-0', data.subarray(0, 1)], ['bytes=-5', data.subarray(-5)], ['bytes=70000-', data.subarray(70_000)]]) {
      const got = await s3.getObject({ Bucket, Key: 'range', Range });
      assert.equal(got.$metadata.httpStatusCode, 206);
      assert.match(got.ContentRange, /\/100000$/);
      same(await bytesOf(got), part, Range);
    }
    await refused(() => s3.getObject({ Bucket, Key: 'range', Range: 'bytes=100000-' }), sdk.S3ServiceException, 'InvalidRange', 416);
  },

  async listing() {
    const keys = ['a b', 'a+b', 'a%2Fb', 'ä ö/☃', '<&>"\'', '~-._!*()$@=;:,?#[]', 'a//b', 'trail/', '😀'].map((k) => `odd/${k}`);
    for (const Key of keys) await s3.putObject({ Bucket, Key, Body: Key });
    for (const Key of keys) assert.equal((await read(Key)).toString(), Key);
    const wanted = keys.toSorted((a, b) => Buffer.compare(Buffer.from(a), Buffer.from(b)));
    const seen = [];
    for await (const page of sdk.paginateListObjectsV2({ client: s3, pageSize: 2 }, { Bucket, Prefix: 'odd/' })) {
      assert.ok(page.KeyCount <= 2);
      seen.push(...page.Contents.map((o) => o.Key));
    }
    assert.deepEqual(seen, wanted);
    const folded = await s3.listObjectsV2({ Bucket, Prefix: 'odd/', Delimiter: '/', EncodingType: 'url' });
    assert.deepEqual(folded.CommonPrefixes.map((p) => decodeURIComponent(p.Prefix.replaceAll('+', ' '))), ['odd/a/', 'odd/trail/', 'odd/ä ö/']);
    assert.deepEqual((await s3.listObjects({ Bucket, Prefix: 'odd/', MaxKeys: 1 })).Contents.map((o) => o.Key), wanted.slice(0, 1));
  },

  async copy() {
    await s3.putObject({ Bucket, Key: 'source é+', Body: 'copied', Metadata: { kind: 'first' } });
    const CopySource = `${Bucket}/${encodeURIComponent('source é+')}`;
    const done = await s3.copyObject({ Bucket, Key: 'copy', CopySource });
    assert.ok(done.CopyObjectResult.ETag && done.CopyObjectResult.LastModified instanceof Date);
    assert.deepEqual((await s3.headObject({ Bucket, Key: 'copy' })).Metadata, { kind: 'first' });
    await s3.copyObject({ Bucket, Key: 'copy', CopySource, MetadataDirective: 'REPLACE', Metadata: { kind: 'second' }, ContentType: 'text/x-new' });
    const head = await s3.headObject({ Bucket, Key: 'copy' });
    assert.deepEqual([head.Metadata, head.ContentType], [{ kind: 'second' }, 'text/x-new']);
    const { UploadId } = await s3.createMultipartUpload({ Bucket, Key: 'copy-parts' });
    const part = await s3.uploadPartCopy({ Bucket, Key: 'copy-parts', UploadId, PartNumber: 1, CopySource: `${Bucket}/range`, CopySourceRange: 'bytes=10-59999' });
    await s3.completeMultipartUpload({ Bucket, Key: 'copy-parts', UploadId, MultipartUpload: { Parts: [{ PartNumber: 1, ETag: part.CopyPartResult.ETag, ChecksumCRC32: part.CopyPartResult.ChecksumCRC32 }] } });
    same(await read('copy-parts'), payload(100_000, 'range').subarray(10, 60_000), 'part copy');
  },

  async tagging() {
    await s3.putObject({ Bucket, Key: 'tagged', Body: 'x', Tagging: 'a=1&b%20c=%40%2F%2B' });
    const tags = async () => (await s3.getObjectTagging({ Bucket, Key: 'tagged' })).TagSet;
    assert.deepEqual((await tags()).toSorted((x, y) => (x.Key < y.Key ? -1 : 1)), [{ Key: 'a', Value: '1' }, { Key: 'b c', Value: '@/+' }]);
    await s3.putObjectTagging({ Bucket, Key: 'tagged', Tagging: { TagSet: [{ Key: 'only', Value: 'one' }] } });
    assert.deepEqual(await tags(), [{ Key: 'only', Value: 'one' }]);
    await s3.deleteObjectTagging({ Bucket, Key: 'tagged' });
    assert.deepEqual(await tags(), []);
    await s3.putBucketTagging({ Bucket, Tagging: { TagSet: [{ Key: 'team', Value: 'blue' }] } });
    assert.deepEqual((await s3.getBucketTagging({ Bucket })).TagSet, [{ Key: 'team', Value: 'blue' }]);
    await s3.deleteBucketTagging({ Bucket });
    await refused(() => s3.getBucketTagging({ Bucket }), sdk.S3ServiceException, 'NoSuchTagSet', 404);
  },

  async conditions() {
    const k = { Bucket, Key: 'condition' };
    const { ETag } = await s3.putObject({ ...k, Body: 'one', IfNoneMatch: '*' });
    await refused(() => s3.putObject({ ...k, Body: 'two', IfNoneMatch: '*' }), sdk.S3ServiceException, 'PreconditionFailed', 412);
    await s3.putObject({ ...k, Body: 'three', IfMatch: ETag });
    await refused(() => s3.putObject({ ...k, Body: 'four', IfMatch: ETag }), sdk.S3ServiceException, 'PreconditionFailed', 412);
    assert.equal((await read('condition')).toString(), 'three');
    const now = (await s3.headObject(k)).ETag;
    await refused(() => s3.getObject({ ...k, IfMatch: ETag }), sdk.S3ServiceException, 'PreconditionFailed', 412);
    const unchanged = await s3.getObject({ ...k, IfNoneMatch: now }).catch((error) => error);
    assert.equal(unchanged.$metadata.httpStatusCode, 304);
  },

  async checksums() {
    const data = payload(70_000, 'checksum');
    for (const [algorithm, field] of [['CRC32', 'ChecksumCRC32'], ['CRC32C', 'ChecksumCRC32C'], ['CRC64NVME', 'ChecksumCRC64NVME'], ['SHA1', 'ChecksumSHA1'], ['SHA256', 'ChecksumSHA256']]) {
      const put = await s3.putObject({ Bucket, Key: `sum/${algorithm}`, Body: data, ChecksumAlgorithm: algorithm });
      assert.ok(put[field], algorithm);
      const got = await s3.getObject({ Bucket, Key: `sum/${algorithm}`, ChecksumMode: 'ENABLED' });
      assert.equal(got[field], put[field]);
      same(await bytesOf(got), data, algorithm); // the SDK compares as it reads
    }
    const wrong = () => s3.putObject({ Bucket, Key: 'sum/wrong', Body: data, ChecksumSHA256: createHash('sha256').update('other').digest('base64') });
    await refused(wrong, sdk.S3ServiceException, 'BadDigest', 400);
    await refused(() => s3.headObject({ Bucket, Key: 'sum/wrong' }), sdk.NotFound, 'NotFound', 404);
  },

  async versions() {
    const bucket = `${Bucket}-versions`;
    await create(bucket);
    const k = { Bucket: bucket, Key: 'kept' };
    await s3.putBucketVersioning({ Bucket: bucket, VersioningConfiguration: { Status: 'Enabled' } });
    assert.equal((await s3.getBucketVersioning({ Bucket: bucket })).Status, 'Enabled');
    const one = (await s3.putObject({ ...k, Body: 'one' })).VersionId;
    const two = (await s3.putObject({ ...k, Body: 'two' })).VersionId;
    assert.ok(one && two && one !== two);
    assert.equal((await bytesOf(await s3.getObject({ ...k, VersionId: one }))).toString(), 'one');
    const gone = await s3.deleteObject(k);
    assert.equal(gone.DeleteMarker, true);
    await refused(() => s3.getObject(k), sdk.NoSuchKey, 'NoSuchKey', 404);
    const listed = await s3.listObjectVersions({ Bucket: bucket });
    assert.deepEqual(listed.Versions.map((v) => v.VersionId), [two, one]);
    assert.deepEqual(listed.DeleteMarkers.map((v) => [v.VersionId, v.IsLatest]), [[gone.VersionId, true]]);
    await s3.deleteObject({ ...k, VersionId: gone.VersionId });
    assert.equal((await bytesOf(await s3.getObject(k))).toString(), 'two');
    const Objects = [one, two].map((VersionId) => ({ Key: 'kept', VersionId }));
    assert.equal((await s3.deleteObjects({ Bucket: bucket, Delete: { Objects } })).Errors, undefined);
    await s3.deleteBucket({ Bucket: bucket });
  },

  async presigned() {
    const put = await getSignedUrl(s3, new sdk.PutObjectCommand({ Bucket, Key: 'signed in a URL', ContentType: 'text/x-url' }), { expiresIn: 60 });
    const sent = await fetch(put, { method: 'PUT', body: 'by fetch', headers: { 'Content-Type': 'text/x-url' } });
    assert.equal(sent.status, 200, await sent.text());
    const url = await getSignedUrl(s3, new sdk.GetObjectCommand({ Bucket, Key: 'signed in a URL', ResponseContentType: 'text/x-other' }), { expiresIn: 60 });
    const got = await fetch(url);
    assert.deepEqual([got.status, got.headers.get('content-type'), await got.text()], [200, 'text/x-other', 'by fetch']);
  },

  async errors() {
    await refused(() => s3.getObject({ Bucket, Key: 'missing' }), sdk.NoSuchKey, 'NoSuchKey', 404);
    await refused(() => s3.headObject({ Bucket, Key: 'missing' }), sdk.NotFound, 'NotFound', 404);
    await refused(() => s3.headBucket({ Bucket: `${Bucket}-missing` }), sdk.NotFound, 'NotFound', 404);
    await refused(() => s3.listObjectsV2({ Bucket: `${Bucket}-missing` }), sdk.NoSuchBucket, 'NoSuchBucket', 404);
    await refused(() => s3.deleteBucket({ Bucket }), sdk.S3ServiceException, 'BucketNotEmpty', 409);
    const stranger = new sdk.S3({ endpoint, region: 'us-east-1', credentials: { accessKeyId, secretAccessKey: 'wrong' }, forcePathStyle: true, maxAttempts: 1 });
    await refused(() => stranger.listBuckets({}), sdk.S3ServiceException, 'SignatureDoesNotMatch', 403);
  },

  async deletes() {
    await s3.deleteObject({ Bucket, Key: 'range' });
    await s3.deleteObject({ Bucket, Key: 'range' });
    for await (const page of sdk.paginateListObjectsV2({ client: s3 }, { Bucket })) {
      const gone = await s3.deleteObjects({ Bucket, Delete: { Objects: page.Contents.map(({ Key }) => ({ Key })) } });
      assert.deepEqual([gone.Errors, gone.Deleted.length], [undefined, page.Contents.length]);
    }
    await s3.deleteBucket({ Bucket });
  },
};

for (const [name, step] of Object.entries(steps)) {
  try {
    await step();
  } catch (error) {
    console.error(`${name}: ${error.stack}\n${JSON.stringify(error.$metadata ?? {})}`);
    process.exit(1);
  }
  console.log(`ok ${name}`);
}
