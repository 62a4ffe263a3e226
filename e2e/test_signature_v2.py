"""URLs of signature version 2, which boto3 still makes for us-east-1 and s3cmd knows alone: refused, and taken of a tenant who asks for it."""

from __future__ import annotations

import json
import shutil
import time
from urllib.parse import parse_qsl, unquote, urlsplit

import pytest

from clients import aws, payload
from curl import curl
from gateway import Gateway
from presigners import Boto3
from processes import run, until
from raw import host_of

V2 = {"signature_version": "s3"}


def switch(gateway: Gateway, tenant: str, accepted: bool):
    """Sets it as an operator does, and waits until every proxy has seen it."""
    shown = json.loads(gateway.admin("--json", "tenant", "signature-v2", tenant, "on" if accepted else "off"))
    assert shown["signature_v2"] is accepted
    began = time.monotonic()

    def seen() -> bool:
        targets = [gateway.target(tenant) for _ in gateway.proxy_endpoints()]
        for target, endpoint in zip(targets, gateway.proxy_endpoints()):
            target.endpoint = endpoint
        urls = [t.s3(**V2).generate_presigned_url("list_buckets") for t in targets]
        return all((curl("GET", url).status == 200) is accepted for url in urls)

    until(seen, f"every proxy has seen that version 2 is {'on' if accepted else 'off'}", 10)
    assert time.monotonic() - began < 5


@pytest.fixture
def signer(gateway):
    """boto3 for the tenant that has it, for the time of a test."""
    switch(gateway, "globex", True)
    yield Boto3(gateway.target("globex"), **V2)
    switch(gateway, "globex", False)


@pytest.fixture
def bucket(gateway):
    return gateway.target("globex").make_bucket("v2")


def url(signer: Boto3, operation: str, bucket: str, key: str | None = "a b/ü+%", **parameters: object) -> str:
    signed, headers = signer.sign(operation, {"Bucket": bucket} | ({"Key": key} if key else {}) | parameters)
    assert headers == {} and {"AWSAccessKeyId", "Signature", "Expires"} <= dict(parse_qsl(urlsplit(signed).query)).keys()
    return signed


def test_refused_until_it_is_asked_for(gateway, target):
    bucket = target.make_bucket("v2")
    target.s3().put_object(Bucket=bucket, Key="k", Body=b"x")
    get = target.s3(**V2).generate_presigned_url("get_object", Params={"Bucket": bucket, "Key": "k"})
    unknown = get.replace(target.access_key, "S3GWNOBODYNOBODYNOBO")
    for asked in (get, unknown, get.replace("Signature=", "Signature=x")):
        answer = curl("GET", asked)
        assert (answer.status, answer.code) == (400, "InvalidRequest") and b"AWS4-HMAC-SHA256" in answer.body, str(answer)


def test_on_and_off_while_it_runs(gateway, bucket):
    target = gateway.target("globex")
    target.s3().put_object(Bucket=bucket, Key="k", Body=b"x")
    get = target.s3(**V2).generate_presigned_url("get_object", Params={"Bucket": bucket, "Key": "k"})
    for _ in range(2):
        switch(gateway, "globex", True)
        assert curl("GET", get).body == b"x"
        created = gateway.new_key("globex")
        assert curl("GET", get.replace(target.access_key, created[0])).code == "SignatureDoesNotMatch", "a new key of the tenant has it too"
        other = gateway.target("acme")
        foreign = other.s3(**V2).generate_presigned_url("list_buckets")
        assert curl("GET", foreign).code == "InvalidRequest", "another tenant has not"
        switch(gateway, "globex", False)
        assert curl("GET", get).code == "InvalidRequest"


def test_boto3_urls(gateway, signer, bucket):
    s3, data = gateway.target("globex").s3(), payload(100_000, "v2")
    k = {"Bucket": bucket, "Key": "a b/ü+%"}
    assert curl("PUT", url(signer, "PutObject", bucket), body=data).status == 200
    get = url(signer, "GetObject", bucket)
    assert curl("GET", get).body == data
    assert curl("GET", get, {"Range": "bytes=5-9"}).body == data[5:10]
    head = curl("HEAD", url(signer, "HeadObject", bucket))
    assert (head.status, head.get("content-length")) == (200, "100000")
    shown = curl("GET", url(signer, "GetObject", bucket, ResponseContentType="text/x-other", ResponseContentDisposition='attachment; filename="a&b.txt"'))
    assert (shown.get("content-type"), shown.get("content-disposition")) == ("text/x-other", 'attachment; filename="a&b.txt"')
    said = url(signer, "PutObject", bucket, Metadata={"kind": "signed"}, Tagging="a=1", ContentType="text/x-signed")
    assert curl("PUT", said, {"Content-Type": "text/x-signed"}, b"1").status == 200
    stored = s3.head_object(**k)
    assert (stored["Metadata"], stored["ContentType"]) == ({"kind": "signed"}, "text/x-signed")
    assert curl("GET", url(signer, "GetObjectTagging", bucket)).xml().findtext("TagSet/Tag/Value") == "1"
    copied = url(signer, "CopyObject", bucket, "copied", CopySource={"Bucket": bucket, "Key": "a b/ü+%"})
    assert curl("PUT", copied, body=b"").status == 200 and s3.get_object(Bucket=bucket, Key="copied")["Body"].read() == b"1"
    upload = s3.create_multipart_upload(**k)["UploadId"]
    assert curl("PUT", url(signer, "UploadPart", bucket, UploadId=upload, PartNumber=1), body=b"part").status == 200
    assert curl("GET", url(signer, "ListParts", bucket, UploadId=upload)).xml().findtext("Part/Size") == "4"
    assert curl("DELETE", url(signer, "AbortMultipartUpload", bucket, UploadId=upload)).status == 204
    listed = curl("GET", url(signer, "ListObjects", bucket, None, MaxKeys=1)).xml()
    assert (unquote(listed.findtext("Contents/Key")), listed.findtext("IsTruncated")) == ("a b/ü+%", "true")
    assert curl("DELETE", url(signer, "DeleteObject", bucket)).status == 204
    assert [o["Key"] for o in s3.list_objects_v2(Bucket=bucket)["Contents"]] == ["copied"]


def test_what_is_not_signed_decides_nothing(gateway, signer, bucket):
    s3 = gateway.target("globex").s3()
    s3.put_object(Bucket=bucket, Key="secret", Body=b"secret")
    s3.put_object(Bucket=bucket, Key="k", Body=b"x")
    get, put, listing = url(signer, "GetObject", bucket, "k"), url(signer, "PutObject", bucket, "k"), url(signer, "ListObjects", bucket, None)
    mismatch, denied = "SignatureDoesNotMatch", "AccessDenied"
    for method, asked, headers, code in (
        ("GET", get + "&versionId=null", {}, mismatch), ("GET", get + "&tagging", {}, mismatch), ("GET", get + "&uploadId=x", {}, mismatch),
        ("GET", get + "&response-content-type=text/html", {}, mismatch), ("GET", get.replace("/k?", "/secret?"), {}, mismatch), ("GET", get + "&attributes", {}, denied),
        ("GET", get + "&x-id=GetObject", {}, denied), ("GET", get, {"x-amz-checksum-mode": "ENABLED"}, mismatch), ("DELETE", get, {}, mismatch), ("PUT", get, {}, mismatch),
        ("PUT", put, {"x-amz-copy-source": f"{bucket}/secret"}, mismatch), ("PUT", put + f"&x-amz-copy-source={bucket}/secret", {}, mismatch),
        ("PUT", put, {"x-amz-meta-a": "b"}, mismatch), ("PUT", put, {"Content-Type": "text/x"}, mismatch), ("PUT", put + "&uploadId=u&partNumber=1", {}, mismatch),
        ("PUT", put, {"x-amz-content-sha256": "STREAMING-UNSIGNED-PAYLOAD-TRAILER"}, "InvalidArgument"),
        ("GET", listing + "&prefix=k", {}, denied), ("GET", listing + "&versions", {}, mismatch), ("GET", listing + "&uploads", {}, mismatch),
        ("GET", get, {"Authorization": "AWS a:b"}, "InvalidArgument"), ("GET", get + "&X-Amz-Algorithm=AWS4-HMAC-SHA256", {}, "InvalidArgument"),
        ("GET", get.replace("Expires=", "Expires=1"), {}, denied), ("GET", get + "&Expires=1", {}, "InvalidArgument"),
    ):
        answer = curl(method, asked, headers, b"forged" if method == "PUT" else None)
        assert answer.code == code, f"{method} {asked} {headers}: {answer}"
    assert s3.get_object(Bucket=bucket, Key="k")["Body"].read() == b"x"
    gone = signer.s3.generate_presigned_url("get_object", Params={"Bucket": bucket, "Key": "k"}, ExpiresIn=-1)
    assert b"Request has expired" in curl("GET", gone).body


def test_s3cmd_signs_urls_this_way(gateway, signer, bucket):
    if not shutil.which("s3cmd"):
        pytest.skip("needs `s3cmd` (apt install s3cmd)")
    target = gateway.target("globex")
    target.s3().put_object(Bucket=bucket, Key="a b+c", Body=b"x")
    host = host_of(target.endpoint)
    access = [f"--access_key={target.access_key}", f"--secret_key={target.secret_key}", f"--host={host}", f"--host-bucket={host}", "--no-ssl", "--config=/dev/null"]
    signed = run(["s3cmd", *access, "signurl", f"s3://{bucket}/a b+c", "+60"], env={"LC_ALL": "C.UTF-8"}).stdout.decode().strip()
    assert curl("GET", signed).body == b"x"


def test_the_aws_cli_signs_urls_this_way(gateway, signer, bucket):
    """For us-east-1, unless its configuration says otherwise."""
    target = gateway.target("globex")
    target.s3().put_object(Bucket=bucket, Key="a b+c", Body=b"x")
    signed = aws(target, "s3", "presign", f"s3://{bucket}/a b+c").stdout.decode().strip()
    assert "AWSAccessKeyId=" in signed and curl("GET", signed).body == b"x"


def test_in_the_header_it_stays_refused(gateway, signer, bucket):
    target = gateway.target("globex")
    answer = curl("GET", f"{target.endpoint}/{bucket}", {"Authorization": f"AWS {target.access_key}:AAAAAAAAAAAAAAAAAAAAAAAAAAA="})
    assert (answer.status, answer.code) == (400, "InvalidRequest")


def test_a_disabled_key_ends_its_urls(gateway, signer, bucket):
    target = gateway.target("globex")
    target.s3().put_object(Bucket=bucket, Key="k", Body=b"x")
    created = gateway.new_key("globex")
    target.access_key, target.secret_key = created
    get = target.s3(**V2).generate_presigned_url("get_object", Params={"Bucket": bucket, "Key": "k"})
    until(lambda: curl("GET", get).body == b"x", "the new key's URL works", 5)
    gateway.disable_key(created[0])
    until(lambda: all(curl("GET", get).code == "InvalidRequest" for _ in range(4)), "every proxy refuses the disabled key's URL", 5)
