"""The guarded way out: where it does not go, and how it comes back from bad servers."""

import ipaddress
import logging
import ssl
import time
from datetime import UTC, datetime, timedelta

import pytest
from django.urls import reverse

from accounts.models import AllowedPlace
from apex.common import fetch
from apex.common.fetch import FetchFailed, FetchRefused, Limits, network, open_url, places
from tests.common.servers import nobody, serving

pytestmark = pytest.mark.django_db
QUICK = Limits(connect=2, read=2, total=20)


@pytest.fixture
def loopback_allowed(settings):
    settings.ALLOWED_HOSTS_OUT = ["127.0.0.1"]


@pytest.fixture
def server(loopback_allowed):
    with serving() as running:
        yield running


def read(url: str, **options) -> bytes:
    with open_url(url, limits=options.pop("limits", QUICK), **options) as answer:
        answer.raise_for_status()
        return answer.read()


def names(monkeypatch, **found):
    """Makes names lead to addresses; underscores stand for dots."""
    table = {name.replace("_", "."): value for name, value in found.items()}

    def resolve(host, port):
        value = table[host]
        return value.pop(0) if value and isinstance(value[0], list) else value

    monkeypatch.setattr(network, "resolve", resolve)


# --- where it does not go -----------------------------------------------------------------------------------
PRIVATE = """
0.0.0.0 0.1.2.3 10.0.0.1 10.255.255.255 100.64.0.1 100.100.100.200 100.127.255.255 127.0.0.1 127.8.8.8
168.63.129.16 169.254.169.254 169.254.0.1 172.16.0.1 172.31.255.255 192.0.0.1 192.0.0.192 192.0.2.5 192.88.99.1
192.168.0.1 198.18.0.1 198.19.255.255 198.51.100.7 203.0.113.9 224.0.0.1 239.255.255.255 240.0.0.1
255.255.255.255 :: ::1 ::ffff:127.0.0.1 ::ffff:10.0.0.1 ::ffff:8.8.8.8 ::127.0.0.1 64:ff9b::a00:1 64:ff9b::808:808
64:ff9b:1::1 100::1 2001::1 2001:db8::1 2001:0:a00:1:: 2002:a00:1:: 2002:7f00:1:: 3fff::1 5f00::1 fc00::1
fd00:ec2::254 fd20:ce::254 fe80::1 fe80::a9fe:a9fe fec0::1 ff02::1 4000::1
""".split()
PUBLIC = "1.1.1.1 8.8.8.8 93.184.216.34 100.63.255.255 100.128.0.1 172.32.0.1 2606:4700:4700::1111 2a00:1450::1".split()


@pytest.mark.parametrize("address", PRIVATE)
def test_no_private_or_reserved_address_is_public(address):
    assert not places.is_public(ipaddress.ip_address(address))
    host = f"[{address}]" if ":" in address else address
    with pytest.raises(FetchRefused):
        read(f"https://{host}/")


@pytest.mark.parametrize("address", PUBLIC)
def test_what_the_internet_shares_is_public(address):
    assert places.is_public(ipaddress.ip_address(address))


@pytest.mark.parametrize(
    "host",
    "2130706433 0x7f000001 0x7f.1 017700000001 127.1 127.0.1 0177.0.0.1 127.0.0.01 127.0.0.0x1 1.2.3.4.5 "
    "256.1.1.1 127.0.0.1. １２７.0.0.1 ①②⑦.⓪.⓪.①".split(),
)
def test_odd_spellings_of_addresses_are_refused(host):
    with pytest.raises(FetchRefused):
        read(f"https://{host}/")


@pytest.mark.parametrize(
    "url",
    [
        "file:///etc/passwd", "ftp://example.org/x", "gopher://example.org/", "//example.org/x", "example.org", "",
        "https://", "https:///x", "https://user:pa55@example.org/", "https://example.org@127.0.0.1/",
        "https://@127.0.0.1/", "https://exa mple.org/", "https://example.org\\@127.0.0.1/", "https://a\tb/",
        "https://example.org:99999/", "https://example.org:x/", "https://[::1", "https://[fe80::1%25eth0]/",
        "https://-bad-.org/", "https://a..b/", "https://exa%6dple.org/", "https://x/\n", "https://x/" + "y" * 5000,
        "http://example.org/", "https://example.org:22/", "https://example.org:8443/", "https://localhost/",
    ],
)  # fmt: skip
def test_malformed_and_unencrypted_addresses_are_refused_before_anything_is_sent(url, monkeypatch):
    monkeypatch.setattr(network, "resolve", lambda host, port: ["127.0.0.1"])
    with pytest.raises(FetchRefused) as refused:
        read(url)
    assert "pa55" not in str(refused.value)


def test_a_name_that_leads_inside_is_refused(monkeypatch, loopback_allowed, settings):
    settings.ALLOWED_HOSTS_OUT = []
    names(monkeypatch, harmless_example=["127.0.0.1"])
    with pytest.raises(FetchRefused, match="harmless.example leads to an address inside a private"):
        read("https://harmless.example/")


def test_one_private_address_among_public_ones_spoils_the_name(monkeypatch):
    names(monkeypatch, mixed_example=["93.184.216.34", "10.0.0.1"])
    with pytest.raises(FetchRefused):
        read("https://mixed.example/")


def test_the_connection_goes_to_the_address_that_was_checked(monkeypatch, server, settings):
    """A name that says something else a moment later (DNS rebinding) is asked once, and never again."""
    url = server.gives("/x", b"here").replace("127.0.0.1", "store.example")
    settings.ALLOWED_HOSTS_OUT = ["store.example"]
    asked = []

    def resolve(host, port):
        asked.append(host)
        return ["127.0.0.1"] if len(asked) == 1 else ["169.254.169.254"]

    monkeypatch.setattr(network, "resolve", resolve)
    assert read(url) == b"here"
    assert asked == ["store.example"]
    assert server.noted[0].headers["Host"] == f"store.example:{server.port}"
    with pytest.raises(FetchRefused):  # the next connection asks anew, and is checked anew
        read(url)


def test_no_proxy_and_no_password_file_is_taken_from_the_environment(monkeypatch, server, tmp_path):
    with serving() as proxy:
        for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "HTTPS_PROXY"):
            monkeypatch.setenv(name, proxy.url)
        (tmp_path / ".netrc").write_text("machine 127.0.0.1 login a password b")
        monkeypatch.setenv("HOME", str(tmp_path))
        assert read(server.gives("/x", b"direct")) == b"direct"
        assert not proxy.noted
    assert "Authorization" not in server.noted[0].headers


# --- what an admin allows -----------------------------------------------------------------------------------
@pytest.mark.parametrize("place", ["127.0.0.1", "127.0.0.0/8", "127.0.0.1:{port}", "store.example:{port}"])
def test_an_allowed_place_is_reached_from_the_admin_or_the_environment(place, monkeypatch, settings):
    monkeypatch.setattr(network, "resolve", lambda host, port: ["127.0.0.1"])
    with serving() as server:
        host = "store.example" if "store" in place else "127.0.0.1"
        url = server.gives("/x", b"inside").replace("127.0.0.1", host)
        with pytest.raises(FetchRefused):
            read(url)
        text = place.format(port=server.port)
        allowed = AllowedPlace.objects.create(what="host", place=text)
        assert read(url) == b"inside"
        allowed.delete()
        settings.ALLOWED_HOSTS_OUT = [text]
        assert read(url) == b"inside"


def test_an_allowed_port_opens_no_other(settings):
    settings.ALLOWED_HOSTS_OUT = ["127.0.0.1:1"]
    with serving() as server, pytest.raises(FetchRefused, match="without encryption"):
        read(server.gives("/x", b"inside"))


def test_the_keys_of_the_machine_stay_closed_inside_an_allowed_network(settings, monkeypatch):
    settings.ALLOWED_HOSTS_OUT = ["169.254.0.0/16", "meta.example", "fd00::/8", "::ffff:0:0/96"]
    names(monkeypatch, meta_example=["169.254.169.254"])
    for host in ("169.254.169.254", "meta.example", "[fd00:ec2::254]", "[::ffff:169.254.169.254]"):
        with pytest.raises(FetchRefused):
            read(f"http://{host}/latest/meta-data/")


def test_only_superusers_see_and_allow_places_in_the_admin(client, django_user_model):
    django_user_model.objects.create_superuser("root", password="x")
    django_user_model.objects.create_user("clerk", password="x", is_staff=True)
    address = reverse("admin:accounts_allowedplace_add")
    client.force_login(django_user_model.objects.get(username="clerk"))
    assert client.get(address).status_code == 403
    client.force_login(django_user_model.objects.get(username="root"))
    for what, wrong in [
        ("host", "http://minio:9000"),
        ("host", "a b"),
        ("directory", "/"),
        ("directory", "x/y"),
    ]:
        assert client.post(address, {"what": what, "place": wrong, "note": ""}).status_code == 200, wrong
    assert (
        client.post(address, {"what": "host", "place": " Minio.Internal:9000 ", "note": ""}).status_code
        == 302
    )
    assert fetch.allowed_places() == ["minio.internal:9000"]


# --- redirects ----------------------------------------------------------------------------------------------
def test_redirects_are_followed_and_the_token_stays_with_its_host(server):
    with serving() as other:
        target = other.gives("/file", b"the file")
        near = server.redirects("/near", target, 307)
        url = server.redirects("/start", near, 301)
        assert (
            read(url, headers={"Authorization": "Bearer secret", "X-Key": "k"}, byte_range=(4, None))
            == b"file"
        )
        assert [note.headers.get("Authorization") for note in server.noted] == ["Bearer secret"] * 2
        assert "Authorization" not in other.noted[0].headers and "X-Key" not in other.noted[0].headers
        assert other.noted[0].headers["Range"] == "bytes=4-"


@pytest.mark.parametrize(
    "to",
    [
        "http://169.254.169.254/latest/meta-data/", "https://10.0.0.1/", "https://[::1]/", "file:///etc/passwd",
        "https://user:pw@example.org/", "http://2130706433/", "gopher://x/", "http://localhost:22/", "https://a b/",
    ],
)  # fmt: skip
def test_a_redirect_is_checked_like_the_first_address(server, to):
    with pytest.raises(FetchRefused):
        read(server.redirects("/x", to))


def test_a_redirect_by_a_name_that_turned_private_is_refused(server, monkeypatch):
    monkeypatch.setattr(network, "resolve", lambda host, port: ["192.168.1.1"])
    with pytest.raises(FetchRefused, match="inner.example"):
        read(server.redirects("/x", "https://inner.example/"))


def test_five_redirects_are_followed_and_no_more(server):
    server.gives("/0", b"arrived")
    for number in range(1, 8):
        server.redirects(f"/{number}", f"/{number - 1}")
    assert read(server.url + "/5") == b"arrived"
    with pytest.raises(FetchFailed, match="more than 5 times"):
        read(server.url + "/6")


# --- TLS ----------------------------------------------------------------------------------------------------
@pytest.fixture
def certificate(tmp_path):
    """A certificate for store.example alone, signed by itself."""
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "store.example")])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key())
        .serial_number(1).not_valid_before(now - timedelta(days=1)).not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("store.example")]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )  # fmt: skip
    path = tmp_path / "certificate.pem"
    path.write_bytes(
        made.public_bytes(serialization.Encoding.PEM)
        + key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
    )
    return path


def test_the_name_is_proven_by_its_certificate_although_the_address_is_dialled(
    certificate, monkeypatch, settings
):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    asked_for = []
    context.sni_callback = lambda socket, name, _context: asked_for.append(name)
    monkeypatch.setattr(network, "resolve", lambda host, port: ["127.0.0.1"])
    settings.ALLOWED_HOSTS_OUT = ["store.example", "other.example"]
    with serving(tls=context) as server:
        url = server.gives("/x", b"proven").replace("127.0.0.1", "store.example")
        with pytest.raises(FetchFailed, match="certificate that is not trusted here"):
            read(url)
        trusted = ssl.create_default_context(cafile=str(certificate))
        monkeypatch.setattr(fetch.answers, "trusted", lambda: trusted)
        assert read(url) == b"proven"
        assert asked_for[-1] == "store.example"
        with pytest.raises(FetchFailed, match="certificate"):
            read(url.replace("store.example", "other.example"))
        plain = server.redirects("/down", "http://store.example/x").replace("127.0.0.1", "store.example")
        with pytest.raises(FetchRefused, match="without encryption"):
            read(plain)


# --- bad servers --------------------------------------------------------------------------------------------
def test_more_bytes_than_allowed_are_refused_announced_or_not(server):
    with pytest.raises(FetchRefused, match="more than 10 bytes"):
        read(server.gives("/told", b"x" * 11), max_bytes=10)

    def endless(request):
        request.send_response(200)
        request.end_headers()
        while True:
            request.wfile.write(b"x" * 65536)

    server.handlers["/endless"] = endless
    with pytest.raises(FetchRefused, match="more than 1000000 bytes"):
        read(server.url + "/endless", max_bytes=1_000_000)
    assert read(server.gives("/fits", b"x" * 10), max_bytes=10) == b"x" * 10


@pytest.mark.parametrize("announced", [20, 10**12])
def test_a_body_that_is_shorter_than_announced_is_not_taken_for_whole(server, announced):
    def lying(request):
        request.send_response(200)
        request.send_header("Content-Length", str(announced))
        request.end_headers()
        request.wfile.write(b"half")

    server.handlers["/lying"] = lying
    with pytest.raises(FetchFailed, match="broke off before the end") as failed:
        read(server.url + "/lying")
    assert failed.value.is_broken_off


def test_bytes_beyond_the_announced_length_are_not_read(server):
    def lying(request):
        request.send_response(200)
        request.send_header("Content-Length", "4")
        request.end_headers()
        request.wfile.write(b"half of it")

    server.handlers["/lying"] = lying
    assert read(server.url + "/lying") == b"half"


def test_a_server_that_drips_is_left_even_while_bytes_come(server, monkeypatch):
    monkeypatch.setattr(network, "DRIP_SECONDS", 0.6)

    def drip(request):
        request.send_response(200)
        request.end_headers()
        for _second in range(100):
            request.wfile.write(b"x")
            time.sleep(0.1)

    server.handlers["/drip"] = drip
    began = time.monotonic()
    with pytest.raises(FetchFailed, match="sends too slowly"):
        read(server.url + "/drip")
    assert time.monotonic() - began < 3


def test_headers_that_drip_end_with_the_clock(server):
    def drip(request):
        request.wfile.write(b"HTTP/1.1 200 OK\r\n")
        for _second in range(100):
            request.wfile.write(b"X-More: 1\r\n")
            time.sleep(0.05)

    server.handlers["/drip"] = drip
    began = time.monotonic()
    with pytest.raises(FetchFailed, match="was not done in 1 s|did not answer in time"):
        read(server.url + "/drip", limits=Limits(total=1))
    assert time.monotonic() - began < 3


def test_a_server_that_only_says_that_it_will_answer_is_left(server):
    def continues(request):
        while True:
            request.wfile.write(b"HTTP/1.1 100 Continue\r\n\r\n" * 100)

    server.handlers["/soon"] = continues
    began = time.monotonic()
    with pytest.raises(FetchFailed, match="did not answer in time"):
        read(server.url + "/soon", limits=Limits(connect=0.5, read=0.5, total=None))
    assert time.monotonic() - began < 5


def test_silence_and_nobody_and_nonsense_have_plain_words(server):
    server.handlers["/silent"] = lambda request: time.sleep(3)
    with pytest.raises(FetchFailed, match=r"127\.0\.0\.1 did not answer in time"):
        read(server.url + "/silent", limits=Limits(read=0.3))
    with nobody() as port, pytest.raises(FetchFailed, match="nobody answers there"):
        read(f"http://127.0.0.1:{port}/")
    server.handlers["/nonsense"] = lambda request: request.wfile.write(b"SSH-2.0-OpenSSH_9.2\r\n\r\n")
    with pytest.raises(FetchFailed, match="does not speak HTTP"):
        read(server.url + "/nonsense")
    with pytest.raises(FetchFailed, match=r"nothing at this address \(404\)") as failed:
        read(server.url + "/missing")
    assert failed.value.status == 404


def test_packed_bytes_are_not_unpacked(server):
    bomb = b"\x1f\x8b" + b"not even gzip"
    assert read(server.gives("/x", bomb, Content_Encoding="gzip")) == bomb
    assert server.noted[0].headers["Accept-Encoding"] == "identity"


def test_a_range_and_a_head(server):
    url = server.gives("/x", b"0123456789", ETag='"a"')
    with open_url(url, byte_range=(3, 5)) as answer:
        assert (answer.status, answer.read()) == (206, b"345")
    answer = fetch.head(url)
    assert (answer.status, answer.length, answer.headers["etag"]) == (200, 10, '"a"')


def test_neither_logs_nor_errors_hold_what_signs_an_address(server, caplog):
    caplog.set_level(logging.DEBUG)
    for name in ("httpcore2", "httpx2", "botocore"):
        logging.getLogger(name).setLevel(logging.INFO)  # as apex/settings/base.py says
    signed = "?X-Amz-Signature=s3cr3t&token=s3cr3t"
    texts = []
    for path in ("/missing", "/there"):
        server.redirects("/there", "http://10.0.0.1/y" + signed)
        try:
            read(server.url + path + signed, headers={"Authorization": "Bearer s3cr3t"})
        except fetch.FetchError as problem:
            texts += [str(problem), repr(problem)]
    assert len(texts) == 4
    assert "s3cr3t" not in "".join(texts) + caplog.text
    assert fetch.shown("https://u:s3cr3t@h/x?s3cr3t#s3cr3t") == "https://h/x"


@pytest.mark.parametrize("host", ["10.0.0.8", "169.254.169.254", "[::1]", "[fd00:ec2::254]", "192.168.1.1"])
def test_a_private_address_is_refused_before_anything_is_asked(host):
    with pytest.raises(FetchRefused, match="private or reserved"):
        places.check_url(f"https://{host}/data.jsonl")
