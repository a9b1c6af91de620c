"""SPDY frames against bytes written out by hand from the draft."""

import struct
import zlib
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headstay.local.server.streams.spdy import (
    DICTIONARY,
    LARGEST_FRAME,
    Data,
    Decoder,
    Encoder,
    Frame,
    GoAway,
    Ignored,
    Ping,
    RstStream,
    SpdyError,
    SynReply,
    SynStream,
    Trailers,
)


def decoded(data: bytes) -> list[Frame]:
    return list(Decoder().feed(data))


def test_the_dictionary_is_the_drafts() -> None:
    # Every SPDY/3 header stream in the world begins with 78 bb and this checksum.
    assert (len(DICTIONARY), zlib.adler32(DICTIONARY)) == (1423, 0xE3C6A7C2)
    assert Encoder().encode(SynReply(1, {}))[12:18] == bytes.fromhex("78bbe3c6a7c2")


@pytest.mark.parametrize(
    ("frame", "wire"),
    [
        (Data(1, b"hi"), "00000001 00000002 6869"),
        (Data(0x7FFFFFFF, b"", fin=True), "7fffffff 01000000"),
        (RstStream(5, 3), "80030003 00000008 00000005 00000003"),
        (Ping(7), "80030006 00000004 00000007"),
        (GoAway(9, 0), "80030007 00000008 00000009 00000000"),
    ],
)
def test_plain_frames_are_these_bytes(frame: Frame, wire: str) -> None:
    assert Encoder().encode(frame) == bytes.fromhex(wire)
    assert decoded(bytes.fromhex(wire)) == [frame]


@pytest.mark.parametrize(
    ("wire", "kind"),
    [
        ("80030004 0000000c 00000001 04000004 00010000", 4),
        ("80030009 00000008 00000001 00010000", 9),
        ("8003000a 00000000", 10),
        ("800300ff 00000001 ff", 255),
    ],
)
def test_settings_windows_and_unknown_frames_are_skipped(wire: str, kind: int) -> None:
    assert decoded(bytes.fromhex(wire) + bytes.fromhex("80030006 00000004 00000001")) == [Ignored(kind), Ping(1)]


def test_a_syn_stream_is_its_fields_and_a_block_of_names_and_values() -> None:
    wire = Encoder().encode(SynStream(3, {"streamType": "error", "port": "80"}, fin=True))
    assert wire[:4] == bytes.fromhex("80030001")
    assert wire[4] == 0x01
    assert int.from_bytes(wire[5:8]) == len(wire) - 8
    assert struct.unpack("!IIH", wire[8:18]) == (3, 0, 0)
    block = zlib.decompressobj(zdict=DICTIONARY).decompress(wire[18:])
    pairs = (b"streamtype", b"error", b"port", b"80")
    assert block == struct.pack("!I", 2) + b"".join(struct.pack("!I", len(text)) + text for text in pairs)


def test_names_arrive_in_lower_case_however_they_were_sent() -> None:
    text = b"".join(struct.pack("!I", len(part)) + part for part in (b"StreamType", b"data"))
    compressor = zlib.compressobj(zdict=DICTIONARY)
    block = compressor.compress(struct.pack("!I", 1) + text) + compressor.flush(zlib.Z_SYNC_FLUSH)
    body = struct.pack("!IIH", 1, 0, 0) + block
    wire = bytes.fromhex("80030001") + struct.pack("!I", len(body)) + body
    assert decoded(wire) == [SynStream(1, {"streamtype": "data"})]


NAMES = st.from_regex(r"[a-z][a-z0-9-]{0,20}", fullmatch=True)
HEADERS = st.dictionaries(NAMES, st.text(max_size=40), max_size=5)
IDS = st.integers(min_value=1, max_value=0x7FFFFFFF)
FRAMES = st.one_of(
    st.builds(Data, IDS, st.binary(max_size=300), st.booleans()),
    st.builds(SynStream, IDS, HEADERS, st.booleans(), st.booleans()),
    st.builds(SynReply, IDS, HEADERS, st.booleans()),
    st.builds(Trailers, IDS, HEADERS, st.booleans()),
    st.builds(RstStream, IDS, st.integers(min_value=1, max_value=11)),
    st.builds(Ping, IDS),
    st.builds(GoAway, IDS, st.integers(min_value=0, max_value=2)),
)


@given(st.lists(FRAMES, max_size=8), st.integers(min_value=1, max_value=50))
def test_frames_survive_the_wire_however_it_is_cut(frames: list[Frame], cut: int) -> None:
    encoder, decoder = Encoder(), Decoder()
    wire = b"".join(encoder.encode(frame) for frame in frames)
    found = [frame for start in range(0, len(wire), cut) for frame in decoder.feed(wire[start : start + cut])]
    assert found == frames


@pytest.mark.parametrize(
    "wire",
    [
        "80020001 00000000",
        "80030001 00000004 00000001",
        "80030002 00000006 00000001 ffff",
        "80030003 00000004 00000001",
        "80030006 00000000",
    ],
)
def test_what_is_not_spdy_3_is_an_error(wire: str) -> None:
    with pytest.raises(SpdyError):
        decoded(bytes.fromhex(wire))


def test_a_huge_frame_is_refused_by_its_head_alone() -> None:
    with pytest.raises(SpdyError, match="a frame of 16777215 bytes"):
        decoded(bytes.fromhex("00000001 00ffffff"))
    assert LARGEST_FRAME < 0xFFFFFF


def test_another_version_is_refused_before_its_frame_is_complete() -> None:
    with pytest.raises(SpdyError, match="SPDY version 2"):
        decoded(bytes.fromhex("80020001 00000100"))


def test_a_small_block_that_unpacks_to_much_is_refused() -> None:
    compressor = zlib.compressobj(zdict=DICTIONARY)
    block = compressor.compress(bytes(10 << 20)) + compressor.flush(zlib.Z_SYNC_FLUSH)
    body = struct.pack("!I", 1) + block
    with pytest.raises(SpdyError, match="header block of more than"):
        decoded(bytes.fromhex("80030002") + struct.pack("!I", len(body)) + body)


@given(st.binary(max_size=200))
def test_any_bytes_are_read_or_refused(data: bytes) -> None:
    with suppress(SpdyError):
        decoded(data)
