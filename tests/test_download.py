"""Downloads: complete and with the right checksum, or one sentence; an interrupted one is resumed."""

from __future__ import annotations

import contextlib
import hashlib
import socket
import threading

import pytest
from data_fixtures import BLOB, unused_address

from distill_core.data.download import download

MD5 = hashlib.md5(BLOB).hexdigest()


def test_a_download_is_complete_and_yields_its_progress(server, tmp_path):
    progress = list(download([server.address + "/blob"], tmp_path / "blob", md5=MD5))
    assert (tmp_path / "blob").read_bytes() == BLOB and [p.name for p in tmp_path.iterdir()] == ["blob"]
    assert progress == sorted(progress) and len(progress) > 1 and progress[-1] == 1


def test_a_complete_file_is_not_downloaded_again(server, tmp_path):
    (tmp_path / "blob").write_bytes(BLOB)
    assert list(download([server.address + "/blob"], tmp_path / "blob", md5=MD5)) == [] and server.requests == []


@pytest.mark.parametrize("ranges", (True, False))
def test_a_download_resumes_a_kept_part(server, tmp_path, ranges):
    server.ranges = ranges
    (tmp_path / "blob.part").write_bytes(BLOB[:300_000])
    list(download([server.address + "/blob"], tmp_path / "blob", md5=MD5, tries=1))
    assert (tmp_path / "blob").read_bytes() == BLOB and server.requests == [("/blob", "bytes=300000-")]


def test_a_complete_part_is_accepted(server, tmp_path):
    (tmp_path / "blob.part").write_bytes(BLOB)
    list(download([server.address + "/blob"], tmp_path / "blob", md5=MD5, tries=1))
    assert (tmp_path / "blob").read_bytes() == BLOB


@pytest.mark.parametrize("ranges", (True, False))
def test_a_cut_connection_is_resumed(server, tmp_path, ranges):
    server.ranges, server.cuts = ranges, 2 if ranges else 1
    list(download([server.address + "/blob"], tmp_path / "blob", md5=MD5))
    assert (tmp_path / "blob").read_bytes() == BLOB
    if ranges:
        assert [requested for _, requested in server.requests] == ["bytes=0-", "bytes=350000-", "bytes=525000-"]


def test_after_the_last_try_the_part_is_kept_for_the_next_time(server, tmp_path, refused):
    server.cuts = 1
    with refused("blob", "cut"):
        list(download([server.address + "/blob"], tmp_path / "blob", md5=MD5, tries=1))
    assert (tmp_path / "blob.part").stat().st_size == 350_000 and not (tmp_path / "blob").exists()
    list(download([server.address + "/blob"], tmp_path / "blob", md5=MD5, tries=1))
    assert (tmp_path / "blob").read_bytes() == BLOB and server.requests[-1][1] == "bytes=350000-"


def test_after_a_wrong_checksum_the_download_starts_again(server, tmp_path):
    server.alters = 1
    list(download([server.address + "/blob"], tmp_path / "blob", md5=MD5))
    assert (tmp_path / "blob").read_bytes() == BLOB and [requested for _, requested in server.requests] == ["bytes=0-", "bytes=0-"]


def test_a_download_with_a_wrong_checksum_each_time_is_refused_and_leaves_no_file(server, tmp_path, refused):
    server.alters = 99
    with refused("blob", "checksum"):
        list(download([server.address + "/blob"], tmp_path / "blob", md5=MD5))
    assert not list(tmp_path.iterdir())


def test_the_second_address_serves_where_the_first_does_not(server, tmp_path):
    list(download([server.address + "/gone", server.address + "/blob"], tmp_path / "blob", md5=MD5, tries=1))
    assert (tmp_path / "blob").read_bytes() == BLOB


def test_no_internet_is_one_sentence(server, tmp_path, refused):
    for address in (unused_address() + "/blob", "http://no-such-host.invalid/blob", server.address + "/gone"):
        with refused("blob could not be downloaded", "internet", tmp_path):
            list(download([address], tmp_path / "blob", md5=MD5, tries=2))


def test_a_server_without_http_is_one_sentence(tmp_path, refused):
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def babble():
            with contextlib.suppress(OSError):
                connection, _ = listening.accept()
                connection.recv(1000)
                connection.sendall(b"220 this is no HTTP\r\n\r\n")
                connection.close()

        threading.Thread(target=babble, daemon=True).start()
        with refused("blob could not be downloaded"):
            list(download([f"http://127.0.0.1:{listening.getsockname()[1]}/blob"], tmp_path / "blob", md5=MD5, tries=1))
