"""Git addresses as people write them, and which of them are fetched from where."""

from __future__ import annotations

import pytest

from app.core.errors import RejectedAddressError
from app.packages.git_urls import Remote, parse_git_url

SERVER = "https://github.com"
HOSTS = frozenset({"gitlab.corp", "git.corp:8080"})


def read(text: str, server: str = SERVER) -> Remote:
    return parse_git_url(text, server, HOSTS, "fetching a package")


@pytest.mark.parametrize(
    "text",
    [
        "octo/shop",
        "https://github.com/octo/shop",
        "https://github.com/octo/shop.git",
        "https://github.com/octo/shop.git/",
        "http://github.com/octo/shop",
        "https://www.github.com/octo/shop",
        "HTTPS://GitHub.com/octo/shop",
        "git+https://github.com/octo/shop.git",
        "git@github.com:octo/shop.git",
        "git@github.com:/octo/shop",
        "github.com:octo/shop",
        "org-123@github.com:octo/shop.git",
        "ssh://git@github.com/octo/shop.git",
        "ssh://git@github.com:22/octo/shop.git",
        "ssh://git@ssh.github.com:443/octo/shop.git",
        "git+ssh://git@github.com/octo/shop.git",
        "git://github.com/octo/shop.git",
        "https://user@github.com/octo/shop",
        "https://user:s3cret@github.com/octo/shop.git",
        "https://x-access-token:ghs_s3cret@github.com/octo/shop.git",
        "https://{{ env_var('DBT_ENV_SECRET_TOKEN') }}@github.com/octo/shop.git",
        "https://{{env_var('USER', 'a@b')}}:{{ env_var(\"TOKEN\") }}@github.com/octo/shop.git",
        "https://:@github.com/octo/shop.git",
        " https://github.com/octo/shop \n",
    ],
)
def test_all_spellings_of_a_repository_on_our_github_server_are_equal(text: str) -> None:
    found = read(text)
    assert (found.url, found.full_name, found.label) == ("https://github.com/octo/shop.git", "octo/shop", "octo/shop")


@pytest.mark.parametrize(
    ("text", "url"),
    [
        ("https://gitlab.com/octo/group/shop.git", "https://gitlab.com/octo/group/shop.git"),
        ("https://oauth2:s3cret@gitlab.com/octo/shop", "https://gitlab.com/octo/shop"),
        ("git@gitlab.com:octo/shop.git", "https://gitlab.com/octo/shop.git"),
        ("ssh://git@bitbucket.org:22/octo/shop.git/", "https://bitbucket.org/octo/shop.git"),
        ("git://git.kernel.example/octo/shop", "https://git.kernel.example/octo/shop"),
        ("http://gitlab.com/octo/shop", "https://gitlab.com/octo/shop"),
        ("https://dev.azure.com/octo/My%20Shop/_git/shop", "https://dev.azure.com/octo/My%20Shop/_git/shop"),
        ("https://git.sr.ht/~octo/shop", "https://git.sr.ht/~octo/shop"),
        ("http://gitlab.corp/octo/shop", "http://gitlab.corp/octo/shop"),
        ("git@gitlab.corp:octo/shop", "https://gitlab.corp/octo/shop"),
        ("ssh://git@gitlab.corp:2222/octo/shop", "https://gitlab.corp/octo/shop"),
        ("http://git.corp:8080/octo/shop", "http://git.corp:8080/octo/shop"),
        ("https://api.github.com/octo/shop", "https://api.github.com/octo/shop"),
        ("https://github.com.example/octo/shop", "https://github.com.example/octo/shop"),
    ],
)
def test_other_hosts_are_fetched_over_https(text: str, url: str) -> None:
    found = read(text)
    assert (found.url, found.full_name) == (url, None)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "shop",
        "../shop",
        "./shop",
        "/srv/git/shop",
        "C:\\shop",
        "file:///srv/git/shop",
        "ext::sh -c 'touch /tmp/x'",
        "ext::sh",
        "fd::17",
        "--upload-pack=touch /tmp/x",
        "-oProxyCommand=x:octo/shop",
        "ssh://-oProxyCommand=x/octo/shop",
        "ftp://example.com/octo/shop",
        "https://github.com/octo",
        "https://github.com/octo/shop/tree/main",
        "https://github.com/octo/../..",
        "https://github.com/octo/..",
        "https://gitlab.com/octo/../admin",
        "https://gitlab.com/octo/%2e%2e/admin",
        "https://gitlab.com/octo/shop?x=1",
        "https://gitlab.com/octo/shop#main",
        "https://gitlab.com//",
        "https://gitlab.com:8443/octo/shop",
        "https://gitlab.com/octo/sh op",
        "https://gitlab.com/octo/shop\nx",
        "https://github.com\\@10.0.0.1/octo/shop",
        "https://user:pa/ss@github.com/octo/shop",
        "https://github.com@10.0.0.1/octo/shop",
        "https://github.com:443@169.254.169.254/octo/shop",
        "https://10.0.0.1/octo/shop",
        "git@10.0.0.1:octo/shop",
        "git@2130706433:octo/shop",
        "git@[::1]:octo/shop",
        "git@localhost:octo/shop",
        "git@git.internal:octo/shop",
        "ssh://git@gitlab.com:6379/octo/shop",
        "http://git.corp:8081/octo/shop",
        "https://{{ env_var('HOST') }}/octo/shop",
        "https://github.com/{{ env_var('ORG') }}/shop",
        "{{ env_var('URL') }}",
    ],
)
def test_rejected_addresses(text: str) -> None:
    with pytest.raises(RejectedAddressError):
        read(text)


def test_an_address_of_many_expressions_is_rejected_quickly() -> None:
    for text in ("https://" + "{{}}" * 200, "https://" + "{{ {{" * 200 + "@"):
        with pytest.raises(RejectedAddressError):
            read(text)


@pytest.mark.parametrize(
    "text", ["https://u:s3cret@10.0.0.1/octo/shop", "https://u:pa/s3cret@github.com/octo/shop", "https://s3cret@github.com/octo"]
)
def test_an_error_contains_no_credentials(text: str) -> None:
    with pytest.raises(RejectedAddressError) as error:
        read(text)
    assert "s3cret" not in error.value.user_text


def test_github_enterprise_server() -> None:
    server = "http://127.0.0.1:4000"
    for text in ("octo/shop", "http://127.0.0.1:4000/octo/shop", "https://127.0.0.1/octo/shop.git", "git@127.0.0.1:octo/shop"):
        assert read(text, server).url == "http://127.0.0.1:4000/octo/shop.git"
    with pytest.raises(RejectedAddressError):
        read("http://127.0.0.1:5432/octo/shop", server)
    assert read("https://github.com/octo/shop", server).full_name is None


@pytest.mark.parametrize(
    ("text", "ssh"),
    [
        ("git@github.com:octo/shop.git", "git@github.com:octo/shop.git"),
        ("ssh://git@gitlab.com:22/octo/shop.git", "ssh://git@gitlab.com:22/octo/shop.git"),
        ("ssh://deploy:s3cret@gitlab.corp:2222/octo/shop", "ssh://deploy@gitlab.corp:2222/octo/shop"),
        ("https://github.com/octo/shop", None),
        ("octo/shop", None),
    ],
)
def test_ssh_addresses_are_kept_for_the_command_line(text: str, ssh: str | None) -> None:
    assert read(text).ssh == ssh
