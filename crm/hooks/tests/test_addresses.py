from ipaddress import ip_address

import pytest

from crm.hooks.addresses import AddressError, Target, check_addresses, is_public, parse_url, read_networks
from crm.hooks.enums import Problem

HTTPS = Target("https", "hooks.example", 443, "/")
HTTP = Target("http", "hooks.example", 80, "/")
PUBLIC = "93.184.215.14"


@pytest.mark.parametrize(
    ("url", "target"),
    [
        ("https://example.com", Target("https", "example.com", 443, "/")),
        ("HTTPS://Example.COM./a b".replace(" ", "%20"), Target("https", "example.com", 443, "/a%20b")),
        ("https://example.com:8443/in?key=a%2Fb&x=é#part", Target("https", "example.com", 8443, "/in?key=a%2Fb&x=%C3%A9")),
        ("https://bücher.example/straße", Target("https", "xn--bcher-kva.example", 443, "/stra%C3%9Fe")),
        ("http://10.0.0.1:8080/x", Target("http", "10.0.0.1", 8080, "/x")),
        ("https://[2606:2800:220:1::1]/", Target("https", "2606:2800:220:1::1", 443, "/")),
    ],
)
def test_urls_are_taken_apart(url, target):
    assert parse_url(url) == target


@pytest.mark.parametrize(
    "url",
    [
        "",
        "example.com/hooks",
        "//example.com",
        "ftp://example.com",
        "file:///etc/passwd",
        "https://",
        "https:///path",
        "https://user:password@example.com",
        "https://@example.com",
        "https://example.com:0/",
        "https://example.com:99999/",
        "https://example.com:port/",
        "https://example.com/a b",
        "https://example.com/\r\nHost: other",
        "https://example.com\\@other.example",
        "https://exa\tmple.com",
        "https://[::1",
        "https://[nonsense]/",
        f"https://{'a' * 64}.example/",
        "https://a..example/",
        "https://example.com/" + "a" * 1000,
    ],
)
def test_urls_that_are_refused(url):
    with pytest.raises(AddressError) as refused:
        parse_url(url)

    assert refused.value.problem == Problem.BAD_URL
    assert str(refused.value).endswith(".")


@pytest.mark.parametrize(
    ("target", "authority"),
    [
        (Target("https", "example.com", 443, "/"), "example.com"),
        (Target("https", "example.com", 80, "/"), "example.com:80"),
        (Target("http", "example.com", 80, "/"), "example.com"),
        (Target("https", "2606::1", 443, "/"), "[2606::1]"),
        (Target("https", "2606::1", 8443, "/"), "[2606::1]:8443"),
    ],
)
def test_the_host_header(target, authority):
    assert target.authority == authority


@pytest.mark.parametrize("address", [PUBLIC, "1.1.1.1", "2606:4700:4700::1111", "64:ff9b::5db8:d70e", "2002:5db8:d70e::1"])
def test_public_addresses(address):
    assert is_public(ip_address(address))


@pytest.mark.parametrize(
    "address",
    [
        "0.0.0.0",
        "0.1.2.3",
        "10.1.2.3",
        "100.64.0.1",
        "100.100.100.200",
        "127.0.0.1",
        "127.8.8.8",
        "168.63.129.16",
        "169.254.169.254",
        "172.16.0.1",
        "172.31.255.255",
        "192.0.0.192",
        "192.0.2.1",
        "192.88.99.1",
        "192.168.1.1",
        "198.18.0.1",
        "198.51.100.1",
        "203.0.113.1",
        "224.0.0.1",
        "239.255.255.250",
        "240.0.0.1",
        "255.255.255.255",
        "::",
        "::1",
        "::127.0.0.1",
        "::ffff:127.0.0.1",
        "::ffff:10.0.0.1",
        "::ffff:169.254.169.254",
        "64:ff9b::7f00:1",
        "64:ff9b::a9fe:a9fe",
        "64:ff9b:1::1",
        "100::1",
        "2001::1",
        "2001:0:53aa:64c:0:0:a247:28f1",
        "2001:db8::1",
        "2002:7f00:1::1",
        "2002:a00:1::1",
        "3fff::1",
        "fc00::1",
        "fd00:ec2::254",
        "fe80::1",
        "fec0::1",
        "ff02::1",
        "4000::1",
    ],
)
def test_addresses_that_are_refused(address):
    with pytest.raises(AddressError) as refused:
        check_addresses(HTTPS, [address], allowed=[])

    assert refused.value.problem == Problem.FORBIDDEN_ADDRESS
    assert address not in str(refused.value)  # what our network looks like inside is nobody's business


@pytest.mark.parametrize("found", [[PUBLIC, "127.0.0.1"], ["10.0.0.1", PUBLIC], ["2606:4700:4700::1111", "::1"]])
def test_one_private_address_among_public_ones_refuses_the_name(found):
    with pytest.raises(AddressError):
        check_addresses(HTTPS, found, allowed=[])


def test_public_addresses_are_returned_in_order():
    found = ["2606:4700:4700::1111", PUBLIC]

    assert check_addresses(HTTPS, found, allowed=[]) == found


def test_a_scope_does_not_hide_an_address():
    with pytest.raises(AddressError):
        check_addresses(HTTPS, ["fe80::1%eth0"], allowed=[])


def test_nothing_found():
    with pytest.raises(AddressError) as refused:
        check_addresses(HTTPS, [], allowed=[])

    assert refused.value.problem == Problem.UNKNOWN_HOST


def test_https_is_required_on_the_internet():
    with pytest.raises(AddressError, match="https"):
        check_addresses(HTTP, [PUBLIC], allowed=[])


def test_opened_networks_may_be_reached_even_without_encryption():
    allowed = read_networks(["10.1.0.0/16", "fd00::/8"])

    assert check_addresses(HTTP, ["10.1.2.3", "fd00::1"], allowed=allowed) == ["10.1.2.3", "fd00::1"]
    assert check_addresses(HTTPS, ["10.1.2.3", PUBLIC], allowed=allowed) == ["10.1.2.3", PUBLIC]
    assert check_addresses(HTTP, ["::ffff:10.1.2.3"], allowed=allowed) == ["::ffff:a01:203"]
    with pytest.raises(AddressError):
        check_addresses(HTTP, ["10.1.2.3", PUBLIC], allowed=allowed)
    with pytest.raises(AddressError):
        check_addresses(HTTPS, ["10.2.0.1"], allowed=allowed)


@pytest.mark.parametrize("address", ["169.254.169.254", "127.0.0.1", "::1"])
def test_opening_one_network_opens_no_other(address):
    with pytest.raises(AddressError):
        check_addresses(HTTPS, [address], allowed=read_networks(["10.0.0.0/8"]))
