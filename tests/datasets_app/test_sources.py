"""Bytes that stay where they are: S3 on a real S3-speaking server, the web, the hub, directories of this machine."""

import hashlib
import io
import os
import random
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from accounts.models import AllowedPlace
from datasets_app.sources import (
    Credentials,
    SourceChanged,
    SourceFailed,
    SourceRefused,
    open_source,
    web,
)
from tests.common.servers import give, serving
from tests.datasets_app.stores import checked, hub_server, s3_server

pytestmark = pytest.mark.django_db
LETTERS = b"".join(b'{"text": "letter %d"}\n' % number for number in range(200_000))  # some 4 MB


@pytest.fixture(scope="module")
def s3():
    with s3_server() as running:
        yield running


@pytest.fixture(autouse=True)
def loopback(settings):
    settings.ALLOWED_HOSTS_OUT = ["127.0.0.1"]
    settings.ALLOWED_DIRECTORIES = []


@pytest.fixture
def server():
    with serving() as running:
        yield running


def s3_source(s3, key: str, keys: dict | None = None, **options):
    credentials = Credentials("s3", s3.url, values=s3.keys if keys is None else keys)
    return open_source(f"s3://letters/{key}", credentials, **options)


# --- S3 -----------------------------------------------------------------------------------------------------
def test_an_object_is_read_with_its_mark_size_and_hash(s3):
    s3.put("letters", "in/a file & more+%.jsonl", LETTERS)
    with checked(s3):
        source = s3_source(s3, "in/a%20file%20&%20more+%25.jsonl")
        state = source.state()
        assert (source.name, state.size, source.is_seekable) == ("a file & more+%.jsonl", len(LETTERS), True)
        assert state.mark == f'"{hashlib.md5(LETTERS).hexdigest()}"'
        with source.open() as stream:
            assert stream.read() == LETTERS
        assert source.sha256 == hashlib.sha256(LETTERS).hexdigest()


def test_reading_jumps_by_ranges_and_still_knows_the_hash(s3):
    s3.put("letters", "jump", LETTERS)
    source = s3_source(s3, "jump")
    with source.open() as stream:
        for _jump in range(20):
            begin, count = random.randrange(len(LETTERS)), random.randrange(1, 200_000)
            stream.seek(begin)
            assert stream.read(count) == LETTERS[begin : begin + count]
        assert stream.seek(-9, io.SEEK_END) == len(LETTERS) - 9
        assert stream.read() == LETTERS[-9:]
    assert source.hash() == hashlib.sha256(LETTERS).hexdigest()


def test_parquet_is_read_where_it_is(s3, tmp_path):
    table = pa.table({"prompt": [f"q{i}" for i in range(5000)], "completion": [f"a{i}" for i in range(5000)]})
    pq.write_table(table, tmp_path / "t.parquet", row_group_size=500)
    s3.put("letters", "t.parquet", (tmp_path / "t.parquet").read_bytes())
    with s3_source(s3, "t.parquet").open() as stream:
        assert pq.ParquetFile(stream).read_row_group(7).column("prompt")[0].as_py() == "q3500"


def test_wrong_keys_missing_files_and_other_peoples_rights_have_plain_words(s3):
    s3.put("letters", "there", b"x")
    wrong = {**s3.keys, "secret_access_key": "s3cr3t-but-wrong"}
    cases = [("there", wrong, "SignatureDoesNotMatch"), ("there", s3.other_keys, "AccessDenied"),
             ("there", {"access_key_id": "AKIANOBODY", "secret_access_key": "s3cr3t"}, "InvalidAccessKeyId"),
             ("missing", s3.keys, "NoSuchKey")]  # fmt: skip
    with checked(s3):
        for key, keys, code in cases:
            with pytest.raises(SourceFailed, match=code) as failed:
                s3_source(s3, key, keys).state()
            assert "s3cr3t" not in repr(failed.value) and "127.0.0.1" in str(failed.value)


def test_one_version_of_an_object_can_be_named(s3):
    s3.client.create_bucket(Bucket="kept")
    s3.client.put_bucket_versioning(Bucket="kept", VersioningConfiguration={"Status": "Enabled"})
    first = s3.put("kept", "a", b"the first")["VersionId"]
    s3.put("kept", "a", b"the second")
    credentials = Credentials("s3", s3.url, values=s3.keys)
    newest = open_source("s3://kept/a", credentials)
    assert newest.open().read() == b"the second" and newest.state().version not in ("", first)
    assert open_source(f"s3://kept/a?versionId={first}", credentials).open().read() == b"the first"


def test_an_object_that_is_replaced_while_it_is_read_is_noticed(s3, monkeypatch):
    s3.put("letters", "moving", LETTERS)
    source = s3_source(s3, "moving")
    with source.open() as stream:
        stream.read(10)
        s3.put("letters", "moving", LETTERS[::-1])
        with pytest.raises(SourceChanged) as changed:
            stream.seek(3_000_000)
            stream.read()
    assert changed.value.was != changed.value.found


def test_a_public_bucket_needs_no_keys_and_a_store_of_ones_own_needs_an_admin(s3, settings):
    s3.put("letters", "public", b"for all", ACL="public-read")
    assert s3_source(s3, "public", {}).open().read() == b"for all"
    s3.put("letters", "private", b"for few")
    with pytest.raises(SourceFailed, match="403"):
        s3_source(s3, "private", {}).state()
    settings.ALLOWED_HOSTS_OUT = []
    with pytest.raises(SourceRefused):
        s3_source(s3, "public").state()
    AllowedPlace.objects.create(what="host", place=s3.place)
    assert s3_source(s3, "public").state().size == 7


def test_an_empty_object_and_one_beyond_the_limit(s3):
    s3.put("letters", "empty", b"")
    source = s3_source(s3, "empty")
    assert (source.size, source.open().read(), source.hash()) == (0, b"", hashlib.sha256(b"").hexdigest())
    s3.put("letters", "large", LETTERS)
    with pytest.raises(SourceRefused, match="Ask an admin"):
        s3_source(s3, "large", limit=1000).state()


def test_addresses_of_buckets_that_are_none_are_refused():
    for uri in ("s3://", "s3://b", "s3://letters", "s3://letters/", "s3://letters/dir/", "s3://A B/x", "s3://a@b/x",
                "s3://169.254.169.254:80/x", "s3://[::1/x", "s3://x" * 400):  # fmt: skip
        with pytest.raises(SourceRefused):
            open_source(uri)


def test_amazons_own_addresses_are_made_for_the_region():
    east = open_source("s3://letters/a/b c.jsonl")
    assert east.ask("").url == "https://letters.s3.us-east-1.amazonaws.com/a/b%20c.jsonl"
    keys = {"access_key_id": "AKIAIOSFODNN7EXAMPLE", "secret_access_key": "k", "session_token": "t"}
    ask = open_source("s3://with.dots/a", Credentials("s3", "", "eu-west-1", keys)).ask("")
    assert ask.url == "https://s3.eu-west-1.amazonaws.com/with.dots/a"
    assert "/eu-west-1/s3/aws4_request" in ask.headers["Authorization"]
    assert ask.headers["X-Amz-Security-Token"] == "t"
    assert "k" not in repr(Credentials("s3", values={"token": "k"})).split("Credentials")[1].replace(
        "kind", ""
    )
    store = open_source("gs://letters/a#17", Credentials("gs", values=keys)).asking("")
    assert store.url == "https://storage.googleapis.com/letters/a?generation=17"
    assert "/auto/s3/aws4_request" in store.headers["Authorization"]


# --- the web ------------------------------------------------------------------------------------------------
def test_a_file_of_the_web_has_its_etag_for_a_mark(server):
    source = open_source(server.gives("/dir/letters%201.jsonl", LETTERS, ETag='W/"a"'))
    assert (source.name, source.state().mark, source.size) == ("letters 1.jsonl", '"a"', len(LETTERS))
    assert source.open().read() == LETTERS
    assert {note.method for note in server.noted} == {"GET"}


def test_without_an_etag_the_time_of_change_is_the_mark_and_without_both_there_is_none(server):
    when = "Wed, 21 Oct 2026 07:28:00 GMT"
    assert open_source(server.gives("/a", b"x", Last_Modified=when)).state().mark == f"Last-Modified: {when}"
    assert open_source(server.gives("/b", b"x")).state().mark == ""


def test_a_server_without_ranges_is_read_from_the_start_only(server):
    def plain(request):
        request.send_response(200)
        request.end_headers()
        request.wfile.write(LETTERS)

    server.handlers["/plain"] = plain
    source = open_source(server.url + "/plain")
    assert (source.is_seekable, source.size) == (False, None)
    with source.open() as stream:
        assert not stream.seekable() and stream.read() == LETTERS
    assert source.sha256 == hashlib.sha256(LETTERS).hexdigest()


def test_reading_goes_on_after_a_dropped_connection(server, monkeypatch):
    monkeypatch.setattr(web, "RETRY_SECONDS", 0.01)
    breaks = [1_000_000, 500_000, 700_000]

    def fragile(request):
        wanted = request.headers.get("Range", "")
        if wanted.endswith("-0") or not breaks:
            give(request, LETTERS, {"ETag": '"a"'})
            return
        first = int(wanted.removeprefix("bytes=").partition("-")[0]) if wanted else 0
        request.send_response(206 if wanted else 200)
        request.send_header("Content-Length", str(len(LETTERS) - first))
        request.send_header("Content-Range", f"bytes {first}-{len(LETTERS) - 1}/{len(LETTERS)}")
        request.send_header("ETag", '"a"')
        request.end_headers()
        request.wfile.write(LETTERS[first : first + breaks.pop(0)])

    server.handlers["/fragile"] = fragile
    source = open_source(server.url + "/fragile")
    assert source.open().read() == LETTERS and not breaks
    assert source.sha256 == hashlib.sha256(LETTERS).hexdigest()


def test_a_file_cut_off_cleanly_is_not_taken_for_whole(server, monkeypatch):
    monkeypatch.setattr(web, "RETRY_SECONDS", 0.01)

    def cut(request):
        if request.headers.get("Range") == "bytes=0-0":
            give(request, LETTERS, {})
            return
        request.send_response(206)
        request.send_header("Content-Range", f"bytes 0-{len(LETTERS) - 1}/{len(LETTERS)}")
        request.end_headers()
        request.wfile.write(LETTERS[:1000])

    server.handlers["/cut"] = cut
    source = open_source(server.url + "/cut")
    with pytest.raises(SourceFailed, match="bytes|part"):
        source.open().read()
    assert source.sha256 is None


def test_a_server_that_gives_another_part_than_asked_for_is_not_believed(server):
    def wrong(request):
        if request.headers.get("Range") in (None, "bytes=0-0"):
            give(request, LETTERS, {})
            return
        request.send_response(206)
        request.send_header("Content-Range", f"bytes 0-{len(LETTERS) - 1}/{len(LETTERS)}")
        request.send_header("Content-Length", str(len(LETTERS)))
        request.end_headers()
        request.wfile.write(LETTERS)

    server.handlers["/wrong"] = wrong
    with open_source(server.url + "/wrong").open() as stream, pytest.raises(SourceFailed, match="parts"):
        stream.seek(3_000_000)
        stream.read(10)


def test_what_a_store_says_of_a_fault_is_read_a_little_and_never_shown(server):
    def endless(request):
        request.send_response(500)
        request.send_header("Content-Type", "application/xml")
        request.end_headers()
        request.wfile.write(b"<Error><Code>InternalError</Code><Message>s3cr3t ")
        while True:
            request.wfile.write(b"s3cr3t" * 10_000)

    server.handlers["/endless"] = endless
    with pytest.raises(SourceFailed, match="InternalError") as failed:
        open_source(server.url + "/endless").state()
    assert "s3cr3t" not in str(failed.value)


def test_a_token_goes_to_its_own_host_and_to_no_other(server):
    url = server.gives("/x", b"mine")
    source = open_source(url, Credentials("https", server.url, values={"token": "s3cr3t"}))
    assert source.open().read() == b"mine"
    assert server.noted[-1].headers["Authorization"] == "Bearer s3cr3t"
    with serving() as other:
        with pytest.raises(SourceRefused, match="stays at home"):
            open_source(other.gives("/x", b""), Credentials("https", server.url, values={"token": "s3cr3t"}))
        redirected = open_source(
            server.redirects("/away", other.gives("/y", b"theirs")),
            Credentials("https", server.url, values={"token": "s3cr3t"}),
        )
        assert redirected.open().read() == b"theirs"
        assert all("Authorization" not in note.headers for note in other.noted)


@pytest.mark.parametrize("size", ["9" * 19, "9" * 5000, "-1", "many"])
def test_a_size_that_cannot_be_is_not_known(server, size):
    def answer(request):
        request.send_response(206)
        request.send_header("Content-Range", f"bytes 0-0/{size}")
        request.send_header("Content-Length", "1")
        request.end_headers()
        request.wfile.write(b"x")

    server.handlers["/x"] = answer
    assert open_source(server.url + "/x").state().size is None


@pytest.mark.parametrize(
    "uri",
    [
        "simplecache::s3://letters/x", "s3::https://example.org/x", "zip://a.csv::https://example.org/x", "x", "",
        "ftp://example.org/x", "https://10.0.0.1/x", "http://169.254.169.254/latest/meta-data", "data:text/plain,x",
        "https://example.org:22/", "hf://owner/name/x", "hf://datasets/name/x", "hf://datasets/o/n/../../x",
        "hf://datasets/o/n/%2e%2e/%2E%2E/x", "hf://datasets/../n/x",
        "hf://datasets/o/n", "gs://b/", "file://host/x", "file:relative", "file:///a\x00b", "file:///x?y",
    ],
)  # fmt: skip
def test_other_schemes_chains_and_malformed_addresses_are_refused(uri, settings):
    settings.ALLOWED_HOSTS_OUT = []
    with pytest.raises(SourceRefused):
        open_source(uri).state()


def test_a_connection_of_one_kind_opens_no_other():
    with pytest.raises(SourceRefused, match="Choose another"):
        open_source("s3://letters/x", Credentials("hf", values={"token": "t"}))


# --- the hub ------------------------------------------------------------------------------------------------
def test_a_file_of_the_hub_is_read_at_one_commit_and_the_token_stays_at_the_hub():
    with hub_server() as hub:
        hub.put("data/train.jsonl", LETTERS, "c0ffee", "blob1")
        uri = "hf://datasets/alice/letters/data/train.jsonl"
        source = open_source(uri, Credentials("hf", hub.url, values={"token": "hf_right"}))
        state = source.state()
        assert (state.mark, state.version, state.size) == ('"blob1"', "c0ffee", len(LETTERS))
        assert source.open().read() == LETTERS
        assert hub.noted[-1].path.startswith("/datasets/alice/letters/resolve/c0ffee/")
        assert hub.noted[-1].headers["Authorization"] == "Bearer hf_right"
        assert all("Authorization" not in note.headers for note in hub.cdn.noted)
        pinned = open_source(uri.replace("letters/", "letters@c0ffee/", 1), Credentials("hf", hub.url,
                             values={"token": "hf_right"}))  # fmt: skip
        assert pinned.state().mark == '"blob1"'
        with pytest.raises(SourceFailed, match="GatedRepo"):
            open_source(uri, Credentials("hf", hub.url, values={"token": "hf_s3cr3t"})).state()


# --- this machine -------------------------------------------------------------------------------------------
@pytest.fixture
def allowed(tmp_path, settings):
    directory = tmp_path / "allowed"
    directory.mkdir()
    (directory / "letters.jsonl").write_bytes(LETTERS)
    settings.ALLOWED_DIRECTORIES = [str(directory)]
    return directory


def test_a_file_in_an_allowed_directory_is_read_and_its_change_is_seen(allowed):
    source = open_source(f"file://{allowed}/letters.jsonl")
    before = source.state()
    assert source.open().read() == LETTERS and source.sha256 == hashlib.sha256(LETTERS).hexdigest()
    os.utime(allowed / "letters.jsonl", ns=(1, 1))
    assert before.differs_from(source.state().mark, source.state().size)
    with pytest.raises(SourceChanged):
        source.open()


def test_a_directory_from_the_admin_opens_too(tmp_path):
    (tmp_path / "x").write_bytes(b"x")
    with pytest.raises(SourceRefused, match="No directory"):
        open_source(f"file://{tmp_path}/x")
    AllowedPlace.objects.create(what="directory", place=str(tmp_path))
    assert open_source(f"file://{tmp_path}/x").open().read() == b"x"


def test_nothing_outside_is_read_by_dots_links_or_names(allowed, tmp_path, settings):
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "secret").write_text("s3cr3t")
    (allowed / "link").symlink_to(outside / "secret")
    (allowed / "way").symlink_to(outside)
    (allowed / "inside").symlink_to(allowed / "letters.jsonl")
    for path in ("../outside/secret", "%2e%2e/outside/secret", "link", "way/secret", "./../outside/secret"):
        with pytest.raises(SourceRefused):
            open_source(f"file://{allowed}/{path}").state()
    for path in (
        outside / "secret",
        outside / "not-there",
        f"{allowed}-more/x",
        "/etc/passwd",
        "/proc/self/environ",
    ):
        with pytest.raises(SourceRefused) as refused:
            open_source(f"file://{path}").state()
        assert "not-there" not in str(refused.value)
    assert open_source(f"file://{allowed}/inside").open().read() == LETTERS


def test_what_belongs_to_the_house_is_never_read_even_inside_an_allowed_directory(settings):
    house = Path(settings.DATA_DIR)
    settings.ALLOWED_DIRECTORIES = ["/", str(house), str(house.parent)]
    (house / "mine.txt").write_text("x")
    for path in (house / "mine.txt", settings.BASE_DIR / "manage.py", "/proc/self/environ", "/etc/passwd"):
        with pytest.raises(SourceRefused):
            open_source(f"file://{path}").state()


def test_directories_pipes_and_devices_are_no_files(allowed):
    os.mkfifo(allowed / "pipe")
    for name in ("pipe", "."):
        with pytest.raises((SourceRefused, SourceFailed)):
            open_source(f"file://{allowed}/{name}").state()
    with pytest.raises(SourceFailed, match="cannot be read"):
        open_source(f"file://{allowed}/missing").state()
