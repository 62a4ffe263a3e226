package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"math/rand"
	"net/http"
	"net/url"
	"os"
	"reflect"
	"slices"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/feature/s3/transfermanager"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
	"github.com/aws/smithy-go"
	transport "github.com/aws/smithy-go/transport/http"
)

const (
	mib  = 1024 * 1024
	part = 5 * mib
)

// tour is one run; file holds 200 MiB, or as much as the caller likes.
type tour struct {
	s3, stranger           *s3.Client
	bucket, location, file string
}

// run prints a line for each step that held, and ends with the first that does not.
func (t *tour) run(ctx context.Context) error {
	steps := []struct {
		name string
		run  func(context.Context) error
	}{
		{"buckets", t.buckets}, {"objects", t.objects}, {"transfers", t.transfers}, {"multipart", t.multipart}, {"ranges", t.ranges},
		{"listing", t.listing}, {"copy", t.copy}, {"tagging", t.tagging}, {"conditions", t.conditions}, {"checksums", t.checksums},
		{"versions", t.versions}, {"presigned", t.presigned}, {"errors", t.errors}, {"deletes", t.deletes},
	}
	for _, step := range steps {
		if err := step.run(ctx); err != nil {
			return fmt.Errorf("%s: %w", step.name, err)
		}
		fmt.Println("ok", step.name)
	}
	return nil
}

// payload gives bytes of which no block repeats, the same for the same size and seed.
func payload(size int, seed int64) []byte {
	data := make([]byte, size)
	rand.New(rand.NewSource(seed)).Read(data)
	return data
}

func equal(what string, got, wanted any) error {
	if !reflect.DeepEqual(got, wanted) {
		return fmt.Errorf("%s: got %v, wanted %v", what, got, wanted)
	}
	return nil
}

// refused says what is wrong with an error that should be an E of the SDK with this code and status.
func refused[E error](err error, code string, status int) error {
	if err == nil {
		return fmt.Errorf("%s was expected, it was accepted", code)
	}
	var typed E
	if !errors.As(err, &typed) {
		return fmt.Errorf("%s: not a %T: %w", code, typed, err)
	}
	var named smithy.APIError
	var answer *transport.ResponseError
	if !errors.As(err, &named) || !errors.As(err, &answer) {
		return fmt.Errorf("%s: neither a code nor a status: %w", code, err)
	}
	return equal(code, []any{named.ErrorCode(), answer.HTTPStatusCode()}, []any{code, status})
}

func (t *tour) put(ctx context.Context, key string, body []byte) error {
	_, err := t.s3.PutObject(ctx, &s3.PutObjectInput{Bucket: &t.bucket, Key: &key, Body: bytes.NewReader(body)})
	return err
}

func (t *tour) read(ctx context.Context, input *s3.GetObjectInput) ([]byte, *s3.GetObjectOutput, error) {
	input.Bucket = &t.bucket
	got, err := t.s3.GetObject(ctx, input)
	if err != nil {
		return nil, nil, err
	}
	defer got.Body.Close()
	data, err := io.ReadAll(got.Body)
	return data, got, err
}

// holds says what is wrong with an object that should hold these bytes.
func (t *tour) holds(ctx context.Context, key string, wanted []byte) error {
	data, _, err := t.read(ctx, &s3.GetObjectInput{Key: &key})
	if err == nil && !bytes.Equal(data, wanted) {
		err = fmt.Errorf("%s holds %d other bytes", key, len(data))
	}
	return err
}

func (t *tour) create(ctx context.Context, bucket string) error {
	input := &s3.CreateBucketInput{Bucket: &bucket}
	if t.location != "" {
		input.CreateBucketConfiguration = &types.CreateBucketConfiguration{LocationConstraint: types.BucketLocationConstraint(t.location)}
	}
	_, err := t.s3.CreateBucket(ctx, input)
	return err
}

func (t *tour) buckets(ctx context.Context) error {
	if err := t.create(ctx, t.bucket); err != nil {
		return err
	}
	if err := refused[*types.BucketAlreadyOwnedByYou](t.create(ctx, t.bucket), "BucketAlreadyOwnedByYou", 409); err != nil {
		return err
	}
	if _, err := t.s3.HeadBucket(ctx, &s3.HeadBucketInput{Bucket: &t.bucket}); err != nil {
		return err
	}
	listed, err := t.s3.ListBuckets(ctx, &s3.ListBucketsInput{})
	if err != nil {
		return err
	}
	if !slices.ContainsFunc(listed.Buckets, func(b types.Bucket) bool { return *b.Name == t.bucket && b.CreationDate != nil }) {
		return errors.New("the bucket is not listed")
	}
	where, err := t.s3.GetBucketLocation(ctx, &s3.GetBucketLocationInput{Bucket: &t.bucket})
	if err != nil || t.location == "" {
		return err
	}
	// us-east-1, which it signs for, has no name.
	return equal("location", string(where.LocationConstraint), "")
}

func (t *tour) objects(ctx context.Context) error {
	for _, size := range []int{0, 1, 65_535, 65_537, mib, 3*mib + 1} {
		data, key := payload(size, int64(size)), fmt.Sprintf("sizes/%d", size)
		given := map[string]string{"size": fmt.Sprint(size)}
		if _, err := t.s3.PutObject(ctx, &s3.PutObjectInput{Bucket: &t.bucket, Key: &key, Body: bytes.NewReader(data), ContentType: aws.String("text/x-go"), Metadata: given}); err != nil {
			return err
		}
		if err := t.holds(ctx, key, data); err != nil {
			return err
		}
		head, err := t.s3.HeadObject(ctx, &s3.HeadObjectInput{Bucket: &t.bucket, Key: &key})
		if err != nil {
			return err
		}
		if err := equal(key, []any{*head.ContentLength, *head.ContentType, head.Metadata}, []any{int64(size), "text/x-go", given}); err != nil {
			return err
		}
	}
	return nil
}

// transfers sends a large file up in parts, and brings it down part by part.
func (t *tour) transfers(ctx context.Context) error {
	manager := transfermanager.New(t.s3, func(o *transfermanager.Options) { o.PartSizeBytes, o.Concurrency = 8*mib, 4 })
	up, err := os.Open(t.file)
	if err != nil {
		return err
	}
	defer up.Close()
	key := aws.String("large")
	done, err := manager.UploadObject(ctx, &transfermanager.UploadObjectInput{Bucket: &t.bucket, Key: key, Body: up})
	if err != nil {
		return err
	}
	if done.ChecksumCRC32 == nil {
		return errors.New("the upload was made with checksums, its answer has none")
	}
	down, err := os.CreateTemp("", "tour")
	if err != nil {
		return err
	}
	defer os.Remove(down.Name())
	defer down.Close()
	if _, err := manager.DownloadObject(ctx, &transfermanager.DownloadObjectInput{Bucket: &t.bucket, Key: key, WriterAt: down}); err != nil {
		return err
	}
	wanted, err := hash(up)
	if err != nil {
		return err
	}
	got, err := hash(down)
	if err != nil {
		return err
	}
	if err := equal("what came back", got, wanted); err != nil {
		return err
	}
	seen, err := t.s3.GetObjectAttributes(ctx, &s3.GetObjectAttributesInput{Bucket: &t.bucket, Key: key, ObjectAttributes: []types.ObjectAttributes{"ObjectSize", "ObjectParts", "Checksum"}})
	if err != nil {
		return err
	}
	info, err := up.Stat()
	if err != nil {
		return err
	}
	parts := int32((info.Size() + 8*mib - 1) / (8 * mib))
	return equal("attributes", []any{*seen.ObjectSize, *seen.ObjectParts.TotalPartsCount}, []any{info.Size(), parts})
}

func hash(file *os.File) ([32]byte, error) {
	if _, err := file.Seek(0, io.SeekStart); err != nil {
		return [32]byte{}, err
	}
	sum := sha256.New()
	_, err := io.Copy(sum, file)
	return [32]byte(sum.Sum(nil)), err
}

func (t *tour) multipart(ctx context.Context) error {
	data, key := payload(part+1000, 1), aws.String("multi/part")
	begun, err := t.s3.CreateMultipartUpload(ctx, &s3.CreateMultipartUploadInput{Bucket: &t.bucket, Key: key})
	if err != nil {
		return err
	}
	var parts []types.CompletedPart
	for n, piece := range [][]byte{data[:part], data[part:]} {
		number := aws.Int32(int32(n + 1))
		sent, err := t.s3.UploadPart(ctx, &s3.UploadPartInput{Bucket: &t.bucket, Key: key, UploadId: begun.UploadId, PartNumber: number, Body: bytes.NewReader(piece)})
		if err != nil {
			return err
		}
		parts = append(parts, types.CompletedPart{PartNumber: number, ETag: sent.ETag, ChecksumCRC32: sent.ChecksumCRC32})
	}
	listed, err := t.s3.ListParts(ctx, &s3.ListPartsInput{Bucket: &t.bucket, Key: key, UploadId: begun.UploadId})
	if err != nil {
		return err
	}
	if err := equal("parts", []int64{*listed.Parts[0].Size, *listed.Parts[1].Size}, []int64{part, 1000}); err != nil {
		return err
	}
	if _, err := t.s3.CompleteMultipartUpload(ctx, &s3.CompleteMultipartUploadInput{Bucket: &t.bucket, Key: key, UploadId: begun.UploadId, MultipartUpload: &types.CompletedMultipartUpload{Parts: parts}}); err != nil {
		return err
	}
	if err := t.holds(ctx, *key, data); err != nil {
		return err
	}
	given, err := t.s3.CreateMultipartUpload(ctx, &s3.CreateMultipartUploadInput{Bucket: &t.bucket, Key: key})
	if err != nil {
		return err
	}
	abort := &s3.AbortMultipartUploadInput{Bucket: &t.bucket, Key: key, UploadId: given.UploadId}
	if _, err := t.s3.AbortMultipartUpload(ctx, abort); err != nil {
		return err
	}
	_, err = t.s3.AbortMultipartUpload(ctx, abort)
	return refused[*types.NoSuchUpload](err, "NoSuchUpload", 404)
}

func (t *tour) ranges(ctx context.Context) error {
	data, key := payload(100_000, 2), aws.String("range")
	if err := t.put(ctx, *key, data); err != nil {
		return err
	}
	for text, wanted := range map[string][]byte{"bytes=0-0": data[:1], "bytes=-5": data[99_995:], "bytes=70000-": data[70_000:], "bytes=10-70000": data[10:70_001]} {
		got, answer, err := t.read(ctx, &s3.GetObjectInput{Key: key, Range: &text})
		if err != nil {
			return err
		}
		if !bytes.Equal(got, wanted) || !strings.HasSuffix(*answer.ContentRange, "/100000") {
			return fmt.Errorf("%s: %d bytes of %s", text, len(got), *answer.ContentRange)
		}
	}
	_, _, err := t.read(ctx, &s3.GetObjectInput{Key: key, Range: aws.String("bytes=100000-")})
	return refused[smithy.APIError](err, "InvalidRange", 416)
}

func (t *tour) listing(ctx context.Context) error {
	keys := []string{"a b", "a+b", "a%2Fb", "ä ö/☃", "<&>\"'", "~-._!*()$@=;:,?#[]", "a//b", "trail/", "😀"}
	for n, name := range keys {
		keys[n] = "odd/" + name
		if err := t.put(ctx, keys[n], []byte(keys[n])); err != nil {
			return err
		}
		if err := t.holds(ctx, keys[n], []byte(keys[n])); err != nil {
			return err
		}
	}
	slices.Sort(keys)
	var seen []string
	pages := s3.NewListObjectsV2Paginator(t.s3, &s3.ListObjectsV2Input{Bucket: &t.bucket, Prefix: aws.String("odd/"), MaxKeys: aws.Int32(2)})
	for pages.HasMorePages() {
		page, err := pages.NextPage(ctx)
		if err != nil {
			return err
		}
		for _, object := range page.Contents {
			seen = append(seen, *object.Key)
		}
	}
	if err := equal("keys", seen, keys); err != nil {
		return err
	}
	folded, err := t.s3.ListObjectsV2(ctx, &s3.ListObjectsV2Input{Bucket: &t.bucket, Prefix: aws.String("odd/"), Delimiter: aws.String("/")})
	if err != nil {
		return err
	}
	var prefixes []string
	for _, prefix := range folded.CommonPrefixes {
		prefixes = append(prefixes, *prefix.Prefix)
	}
	return equal("prefixes", prefixes, []string{"odd/a/", "odd/trail/", "odd/ä ö/"})
}

func (t *tour) copy(ctx context.Context) error {
	key, copied := aws.String("source é+"), aws.String("copy")
	if _, err := t.s3.PutObject(ctx, &s3.PutObjectInput{Bucket: &t.bucket, Key: key, Body: strings.NewReader("copied"), Metadata: map[string]string{"kind": "first"}}); err != nil {
		return err
	}
	source := aws.String(t.bucket + "/" + url.PathEscape(*key))
	for _, change := range []*s3.CopyObjectInput{{}, {MetadataDirective: types.MetadataDirectiveReplace, Metadata: map[string]string{"kind": "second"}}} {
		change.Bucket, change.Key, change.CopySource = &t.bucket, copied, source
		if _, err := t.s3.CopyObject(ctx, change); err != nil {
			return err
		}
		head, err := t.s3.HeadObject(ctx, &s3.HeadObjectInput{Bucket: &t.bucket, Key: copied})
		if err != nil {
			return err
		}
		wanted := map[string]string{"kind": "first"}
		if change.Metadata != nil {
			wanted = change.Metadata
		}
		if err := equal("metadata", head.Metadata, wanted); err != nil {
			return err
		}
	}
	return t.holds(ctx, *copied, []byte("copied"))
}

func (t *tour) tagging(ctx context.Context) error {
	key := aws.String("tagged")
	if _, err := t.s3.PutObject(ctx, &s3.PutObjectInput{Bucket: &t.bucket, Key: key, Tagging: aws.String("a=1&b%20c=%2B")}); err != nil {
		return err
	}
	tags := func() map[string]string {
		found := map[string]string{}
		answer, err := t.s3.GetObjectTagging(ctx, &s3.GetObjectTaggingInput{Bucket: &t.bucket, Key: key})
		if err != nil {
			return map[string]string{"error": err.Error()}
		}
		for _, tag := range answer.TagSet {
			found[*tag.Key] = *tag.Value
		}
		return found
	}
	if err := equal("tags", tags(), map[string]string{"a": "1", "b c": "+"}); err != nil {
		return err
	}
	set := &types.Tagging{TagSet: []types.Tag{{Key: aws.String("only"), Value: aws.String("one")}}}
	if _, err := t.s3.PutObjectTagging(ctx, &s3.PutObjectTaggingInput{Bucket: &t.bucket, Key: key, Tagging: set}); err != nil {
		return err
	}
	if err := equal("tags", tags(), map[string]string{"only": "one"}); err != nil {
		return err
	}
	if _, err := t.s3.DeleteObjectTagging(ctx, &s3.DeleteObjectTaggingInput{Bucket: &t.bucket, Key: key}); err != nil {
		return err
	}
	return equal("tags", tags(), map[string]string{})
}

func (t *tour) conditions(ctx context.Context) error {
	key := aws.String("condition")
	put := func(change s3.PutObjectInput) (*s3.PutObjectOutput, error) {
		change.Bucket, change.Key = &t.bucket, key
		return t.s3.PutObject(ctx, &change)
	}
	first, err := put(s3.PutObjectInput{Body: strings.NewReader("one"), IfNoneMatch: aws.String("*")})
	if err != nil {
		return err
	}
	_, err = put(s3.PutObjectInput{Body: strings.NewReader("two"), IfNoneMatch: aws.String("*")})
	if err := refused[smithy.APIError](err, "PreconditionFailed", 412); err != nil {
		return err
	}
	if _, err = put(s3.PutObjectInput{Body: strings.NewReader("three"), IfMatch: first.ETag}); err != nil {
		return err
	}
	_, err = put(s3.PutObjectInput{Body: strings.NewReader("four"), IfMatch: first.ETag})
	if err := refused[smithy.APIError](err, "PreconditionFailed", 412); err != nil {
		return err
	}
	_, _, err = t.read(ctx, &s3.GetObjectInput{Key: key, IfMatch: first.ETag})
	if err := refused[smithy.APIError](err, "PreconditionFailed", 412); err != nil {
		return err
	}
	return t.holds(ctx, *key, []byte("three"))
}

func (t *tour) checksums(ctx context.Context) error {
	data := payload(70_000, 3)
	for _, algorithm := range []types.ChecksumAlgorithm{"CRC32", "CRC32C", "CRC64NVME", "SHA1", "SHA256"} {
		key := aws.String("sum/" + string(algorithm))
		if _, err := t.s3.PutObject(ctx, &s3.PutObjectInput{Bucket: &t.bucket, Key: key, Body: bytes.NewReader(data), ChecksumAlgorithm: algorithm}); err != nil {
			return err
		}
		got, answer, err := t.read(ctx, &s3.GetObjectInput{Key: key, ChecksumMode: types.ChecksumModeEnabled})
		if err != nil {
			return err
		}
		sums := []*string{answer.ChecksumCRC32, answer.ChecksumCRC32C, answer.ChecksumCRC64NVME, answer.ChecksumSHA1, answer.ChecksumSHA256}
		known := slices.DeleteFunc(sums, func(sum *string) bool { return sum == nil })
		if len(known) != 1 || !bytes.Equal(got, data) {
			return fmt.Errorf("%s: %d checksums, %d bytes", algorithm, len(known), len(got))
		}
	}
	_, err := t.s3.PutObject(ctx, &s3.PutObjectInput{Bucket: &t.bucket, Key: aws.String("sum/wrong"), Body: bytes.NewReader(data), ChecksumCRC32: aws.String("AAAAAA==")})
	return refused[smithy.APIError](err, "BadDigest", 400)
}

func (t *tour) versions(ctx context.Context) error {
	bucket, key := aws.String(t.bucket+"-versions"), aws.String("kept")
	if err := t.create(ctx, *bucket); err != nil {
		return err
	}
	enabled := &types.VersioningConfiguration{Status: types.BucketVersioningStatusEnabled}
	if _, err := t.s3.PutBucketVersioning(ctx, &s3.PutBucketVersioningInput{Bucket: bucket, VersioningConfiguration: enabled}); err != nil {
		return err
	}
	var made []string
	for _, body := range []string{"one", "two"} {
		put, err := t.s3.PutObject(ctx, &s3.PutObjectInput{Bucket: bucket, Key: key, Body: strings.NewReader(body)})
		if err != nil {
			return err
		}
		made = append(made, *put.VersionId)
	}
	old, err := t.s3.GetObject(ctx, &s3.GetObjectInput{Bucket: bucket, Key: key, VersionId: &made[0]})
	if err != nil {
		return err
	}
	data, err := io.ReadAll(old.Body)
	if err != nil {
		return err
	}
	if err := equal("old version", string(data), "one"); err != nil {
		return err
	}
	gone, err := t.s3.DeleteObject(ctx, &s3.DeleteObjectInput{Bucket: bucket, Key: key})
	if err != nil {
		return err
	}
	_, err = t.s3.GetObject(ctx, &s3.GetObjectInput{Bucket: bucket, Key: key})
	if err := refused[*types.NoSuchKey](err, "NoSuchKey", 404); err != nil {
		return err
	}
	listed, err := t.s3.ListObjectVersions(ctx, &s3.ListObjectVersionsInput{Bucket: bucket})
	if err != nil {
		return err
	}
	seen := []string{*listed.DeleteMarkers[0].VersionId, *listed.Versions[0].VersionId, *listed.Versions[1].VersionId}
	if err := equal("versions", seen, []string{*gone.VersionId, made[1], made[0]}); err != nil {
		return err
	}
	for _, version := range append(made, *gone.VersionId) {
		if _, err := t.s3.DeleteObject(ctx, &s3.DeleteObjectInput{Bucket: bucket, Key: key, VersionId: &version}); err != nil {
			return err
		}
	}
	_, err = t.s3.DeleteBucket(ctx, &s3.DeleteBucketInput{Bucket: bucket})
	return err
}

func (t *tour) presigned(ctx context.Context) error {
	key := aws.String("signed in a URL")
	signer := s3.NewPresignClient(t.s3)
	put, err := signer.PresignPutObject(ctx, &s3.PutObjectInput{Bucket: &t.bucket, Key: key, Metadata: map[string]string{"kind": "signed"}})
	if err != nil {
		return err
	}
	request, err := http.NewRequestWithContext(ctx, put.Method, put.URL, strings.NewReader("by net/http"))
	if err != nil {
		return err
	}
	for name, values := range put.SignedHeader {
		if name != "Host" {
			request.Header[name] = values
		}
	}
	sent, err := http.DefaultClient.Do(request)
	if err != nil {
		return err
	}
	defer sent.Body.Close()
	if answer, _ := io.ReadAll(sent.Body); sent.StatusCode != 200 {
		return fmt.Errorf("%s: %s", sent.Status, answer)
	}
	_, got, err := t.read(ctx, &s3.GetObjectInput{Key: key})
	if err != nil {
		return err
	}
	if err := equal("metadata", got.Metadata, map[string]string{"kind": "signed"}); err != nil {
		return err
	}
	return t.holds(ctx, *key, []byte("by net/http"))
}

func (t *tour) errors(ctx context.Context) error {
	missing := aws.String("missing")
	_, _, err := t.read(ctx, &s3.GetObjectInput{Key: missing})
	if err := refused[*types.NoSuchKey](err, "NoSuchKey", 404); err != nil {
		return err
	}
	_, err = t.s3.HeadObject(ctx, &s3.HeadObjectInput{Bucket: &t.bucket, Key: missing})
	if err := refused[*types.NotFound](err, "NotFound", 404); err != nil {
		return err
	}
	_, err = t.s3.ListObjectsV2(ctx, &s3.ListObjectsV2Input{Bucket: aws.String(t.bucket + "-missing")})
	if err := refused[*types.NoSuchBucket](err, "NoSuchBucket", 404); err != nil {
		return err
	}
	_, err = t.s3.DeleteBucket(ctx, &s3.DeleteBucketInput{Bucket: &t.bucket})
	if err := refused[smithy.APIError](err, "BucketNotEmpty", 409); err != nil {
		return err
	}
	_, err = t.stranger.ListBuckets(ctx, &s3.ListBucketsInput{})
	return refused[smithy.APIError](err, "SignatureDoesNotMatch", 403)
}

func (t *tour) deletes(ctx context.Context) error {
	pages := s3.NewListObjectsV2Paginator(t.s3, &s3.ListObjectsV2Input{Bucket: &t.bucket})
	for pages.HasMorePages() {
		page, err := pages.NextPage(ctx)
		if err != nil {
			return err
		}
		var objects []types.ObjectIdentifier
		for _, object := range page.Contents {
			objects = append(objects, types.ObjectIdentifier{Key: object.Key})
		}
		gone, err := t.s3.DeleteObjects(ctx, &s3.DeleteObjectsInput{Bucket: &t.bucket, Delete: &types.Delete{Objects: objects}})
		if err != nil {
			return err
		}
		if err := equal("deleted", []int{len(gone.Deleted), len(gone.Errors)}, []int{len(objects), 0}); err != nil {
			return err
		}
	}
	_, err := t.s3.DeleteBucket(ctx, &s3.DeleteBucketInput{Bucket: &t.bucket})
	return err
}
