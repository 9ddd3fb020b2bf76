"""The lab on a network: the address that learners type, host names that are refused, and no connection to elsewhere."""

import io
import json
import socket
import subprocess
import sys
import urllib.error
import urllib.request
from types import SimpleNamespace

import psutil
import pytest
import segno
from browser_fixtures import PAGES, ROOT, settled
from playwright.sync_api import expect
from test_race_browser import finished, press
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect

from pages.server import network

LOCAL = {"localhost", "127.0.0.1", "::1", "0.0.0.0", "::", "", None}


@pytest.fixture
def own_address():
    """An IPv4 address of this machine that other computers could use."""
    found = [one for one in network._machine_addresses() if network._is_reachable(one)]
    if not found:
        pytest.skip("this machine has no network")
    return found[0]


def answer(lab, host):
    """Status and text that a request with this Host header gets."""
    request = urllib.request.Request(f"{lab.address}/", headers={"Host": host})
    try:
        with urllib.request.urlopen(request, timeout=60) as reply:
            return reply.status, reply.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()


def websocket_status(lab, host, *, origin=None):
    """The server's answer to a websocket with this Host header: 101 if it is accepted."""
    plug = socket.create_connection(("127.0.0.1", lab.port))
    options = {"origin": origin or f"http://{host}", "subprotocols": ["streamlit"], "open_timeout": 60}
    try:
        with connect(f"ws://{host}/_stcore/stream", sock=plug, **options):
            return 101
    except InvalidStatus as refusal:
        return refusal.response.status_code


FOREIGN = ["evil.example", "127.0.0.1.evil.example", "localhost.evil.example:80", "192.0.2.77", "[2001:db8::1]:8501", "lab.example.evil"]


@pytest.mark.parametrize("host", FOREIGN)
def test_a_request_for_a_foreign_host_name_is_refused_with_a_sentence(open_lab, host):
    status, text = answer(open_lab, host)
    assert status == 421 and "DISTILL_HOSTS" in text and "\n" not in text and "<" not in text


OWN = ["localhost", "127.0.0.1", "LOCALHOST:8501", "[::1]:1234", "lab.example", "lab.example.", "other.example:443"]


@pytest.mark.parametrize("host", OWN)
def test_a_name_of_this_machine_or_of_distill_hosts_is_answered(open_lab, host):
    status, text = answer(open_lab, host)
    assert status == 200 and "<html" in text


def test_the_machines_own_address_is_answered(open_lab, own_address):
    assert answer(open_lab, f"{own_address}:{open_lab.port}")[0] == 200


def test_a_websocket_is_refused_for_a_foreign_host_and_for_a_page_of_another_origin(open_lab):
    here = f"127.0.0.1:{open_lab.port}"
    assert websocket_status(open_lab, here) == 101
    assert websocket_status(open_lab, f"evil.example:{open_lab.port}") == 403
    assert websocket_status(open_lab, here, origin="http://evil.example") == 403


def test_the_terminal_shows_the_address_that_learners_type_and_its_qr_code(open_lab, own_address):
    printed = open_lab.printed()
    address = f"http://{own_address}:{open_lab.port}"
    assert address in printed and "0.0.0.0" not in printed
    code = io.StringIO()
    segno.make(address, error="m", micro=False).terminal(code, border=2, compact=True)
    assert code.getvalue() in printed


def test_the_first_page_shows_the_address_to_others_and_its_qr_code(open_lab, own_address, watched):
    page = watched(open_lab.address)
    page.get_by_role("button", name="Join from another device").click()
    address = f"http://{own_address}:{open_lab.port}"
    expect(page.get_by_test_id("stCode")).to_have_text(address)
    shown = page.get_by_alt_text("QR code of the address below")
    expect(shown).to_have_attribute("src", segno.make(address, error="m", micro=False).svg_data_uri(scale=8, border=4, light="white"))
    assert shown.evaluate("picture => picture.naturalWidth > 100")


def test_a_lab_of_this_machine_only_shows_no_address_to_others(monkeypatch):
    monkeypatch.setattr(network.st, "get_option", {"server.address": "127.0.0.1", "server.port": 8501, "server.baseUrlPath": ""}.get)
    assert not network.is_open() and network.learners_addresses() == []


@pytest.mark.parametrize(
    ("page", "shared"),
    [
        ("https://lab.example/deep/", "https://lab.example"),
        ("http://10.1.2.3:8501/", "http://10.1.2.3:8501"),
        ("http://localhost:8501/", "http://10.9.9.9:8501"),
    ],
)
def test_the_address_to_share_is_that_of_the_page_unless_only_this_machine_knows_it(monkeypatch, page, shared):
    monkeypatch.setattr(network.st, "get_option", {"server.address": "10.9.9.9", "server.port": 8501, "server.baseUrlPath": ""}.get)
    assert network.address_to_share(page) == shared


def test_addresses_of_virtual_interfaces_come_last_and_those_of_interfaces_that_are_down_are_left_out(monkeypatch):
    addresses = {"docker0": "172.17.0.1", "eth9": "10.0.0.9", "eth0": "10.0.0.1"}
    found = {name: [SimpleNamespace(family=socket.AF_INET, address=address)] for name, address in addresses.items()}
    monkeypatch.setattr(psutil, "net_if_addrs", lambda: found)
    monkeypatch.setattr(psutil, "net_if_stats", lambda: {name: SimpleNamespace(isup=name != "eth9") for name in found})
    assert network._machine_addresses() == ["10.0.0.1", "172.17.0.1"]


# --- no connection to elsewhere -------------------------------------------------------------------------------------


def elsewhere(connections):
    """Those that leave this machine."""
    return [one for one in connections if one[2] not in ("AF_UNIX", "AF_NETLINK") and host_of(one[3]) not in LOCAL]


def host_of(address):
    return address[0] if isinstance(address, list) else address


ATTEMPTS = """
import contextlib, socket
with socket.socket() as one, contextlib.suppress(OSError):
    one.setblocking(False)
    one.connect(("192.0.2.1", 9))
with contextlib.suppress(OSError):
    socket.getaddrinfo("name.invalid", 80)
"""


def test_the_recorder_notices_a_connection_and_a_name_that_is_looked_up(tmp_path):
    log = tmp_path / "connections.txt"
    environment = {"PYTHONPATH": str(ROOT / "tests" / "recorder"), "RECORD_CONNECTIONS": str(log)}
    subprocess.run([sys.executable, "-c", ATTEMPTS], env=environment, check=True, timeout=60)
    found = [json.loads(line) for line in log.read_text().splitlines()]
    assert [host_of(one[3]) for one in elsewhere(found)] == ["192.0.2.1", "name.invalid"]


def test_a_race_and_all_pages_connect_neither_server_nor_workers_nor_browser_to_another_machine(open_lab, watched):
    page = watched(f"{open_lab.address}/race?images=100&epochs=3&seeds=2")  # `watched` looks at the browser's requests
    press(page, "Train")
    finished(page)
    for name in PAGES:
        page.goto(f"{open_lab.address}/{'' if name == 'start' else name}")
        settled(page)
    assert websocket_status(open_lab, f"127.0.0.1:{open_lab.port}", origin="http://evil.example") == 403
    connections = open_lab.connections()
    assert len({one[0] for one in connections}) >= 3  # the server, the scheduler and a worker
    assert elsewhere(connections) == []
