"""The lab on a network: the addresses that learners type, their QR code, and the host names that the server answers to.

`make run ADDRESS=0.0.0.0` opens the lab to a network. A page of another server could then let its own name point to this
machine (DNS rebinding), and a visitor's browser would take the lab for a part of that page. The server therefore refuses
every request whose Host header is neither a name or an address of this machine nor one of `DISTILL_HOSTS`.
"""

from __future__ import annotations

import contextlib
import functools
import os
import re
import socket
import sys
import time
from ipaddress import ip_address
from urllib.parse import urlsplit

import psutil
import segno
import streamlit as st
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Receive, Scope, Send

LOOPBACK = ("localhost", "127.0.0.1", "::1")
WILDCARDS = ("", "0.0.0.0", "::")  # a server with one of these addresses answers on all of this machine's
# Interfaces of virtual machines, containers and tunnels: other computers of a room cannot reach their addresses.
VIRTUAL = re.compile(r"docker|br-|veth|virbr|vmnet|vboxnet|vethernet|utun|tun|tap|wg|tailscale|lxc|cni|podman|zt", re.IGNORECASE)


def is_open() -> bool:
    """Whether other computers reach this server."""
    return (st.get_option("server.address") or "") not in LOOPBACK


def learners_addresses() -> list[str]:
    """What learners type into their browsers, the likeliest first; empty if the lab is not open or there is no network."""
    if not is_open():
        return []
    own = st.get_option("server.address") or ""
    hosts = _machine_addresses() if own in WILDCARDS else [own]
    return [_url(host) for host in hosts if _is_reachable(host)]


def local_address() -> str:
    """The lab's address for a browser on this machine."""
    own = st.get_option("server.address") or ""
    return _url("127.0.0.1" if own in WILDCARDS else own)


def address_to_share(page_url: str | None) -> str:
    """The lab's address for other computers: where this page itself was opened by one, or by a name, the same; else the first."""
    if page_url and _host_of(urlsplit(page_url).netloc) not in LOOPBACK:
        scheme, place = urlsplit(page_url)[:2]
        return f"{scheme}://{place}{_base_path()}"
    return next(iter(learners_addresses()), "")


def qr_code(address: str) -> segno.QRCode:
    """The QR code of an address, made on this machine."""
    return segno.make(address, error="m", micro=False)


def announce() -> None:
    """Print where the lab is open, and for a network the QR code of the address that learners type."""
    print(f"\n  Distill Lab is open on {local_address()}", flush=True)
    if not is_open():
        return
    if not (addresses := learners_addresses()):
        print("  No network address was found: connect this machine to a network, and start the lab again.\n", flush=True)
        return
    print(f"  Learners type:         {' or '.join(addresses)}\n", flush=True)
    with contextlib.suppress(UnicodeEncodeError):  # a terminal without block characters; the page Start shows the code too
        qr_code(addresses[0]).terminal(sys.stdout, border=2, compact=True)
    print(flush=True)


class AllowedHosts:
    """Refuses requests and websockets for a host name that is not this lab's."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a foreign name with one sentence; a websocket is closed before it is accepted."""
        if scope["type"] not in ("http", "websocket"):
            return await self.app(scope, receive, send)
        host = _host_of(next((value.decode("latin-1") for name, value in scope["headers"] if name == b"host"), ""))
        if host in allowed_hosts():
            return await self.app(scope, receive, send)
        if scope["type"] == "websocket":
            return await send({"type": "websocket.close", "code": 1008})
        named = host[:100]
        sentence = f"This lab does not answer to the host name {named!r}; open it by its address, or start it with DISTILL_HOSTS={named}."
        return await PlainTextResponse(sentence, status_code=421)(scope, receive, send)


def allowed_hosts() -> frozenset[str]:
    """Names and addresses of this machine, which may join another network, and the names in `DISTILL_HOSTS`, separated by commas."""
    return _hosts_of_ten_seconds(int(time.monotonic() / 10))


@functools.lru_cache(maxsize=1)
def _hosts_of_ten_seconds(_: int) -> frozenset[str]:
    name = socket.gethostname().lower()
    named = {one.strip().lower() for one in os.environ.get("DISTILL_HOSTS", "").split(",") if one.strip()}
    return frozenset({*LOOPBACK, name, f"{name}.local", *_machine_addresses(), *named})


def _host_of(netloc: str) -> str:
    """`lab.example:8501` and `[fd00::2]:8501` without the port, in lower case."""
    host = netloc.lower().removesuffix(".")
    return host[1:].partition("]")[0] if host.startswith("[") else host.partition(":")[0].removesuffix(".")


def _machine_addresses() -> list[str]:
    """The addresses of this machine's interfaces that are up; those of real interfaces and of IPv4 first. Asks no other computer."""
    up = {name for name, state in psutil.net_if_stats().items() if state.isup}
    found = [
        (bool(VIRTUAL.match(name)), one.family == socket.AF_INET6, one.address.partition("%")[0])
        for name, addresses in psutil.net_if_addrs().items()
        if name in up
        for one in addresses
        if one.family in (socket.AF_INET, socket.AF_INET6)
    ]
    return [address for *_, address in sorted(found, key=lambda one: one[:2])]


def _is_reachable(host: str) -> bool:
    """Whether another computer can use the address: neither loopback nor link-local. Names are, and IPv6 is too long to type."""
    try:
        address = ip_address(host)
    except ValueError:
        return True
    return address.version == 4 and not address.is_loopback and not address.is_link_local


def _url(host: str) -> str:
    return f"http://{f'[{host}]' if ':' in host else host}:{st.get_option('server.port')}{_base_path()}"


def _base_path() -> str:
    base = st.get_option("server.baseUrlPath").strip("/")
    return f"/{base}" if base else ""
