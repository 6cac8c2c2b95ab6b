"""What the plugin makes of streams: cut, repeated, lost, without a beginning, on other ports, with other keys.

Each function states a fact. test_streams.py NAME.. runs only those, test_streams.py 2/3 the second third of all.
"""

import functools
import json
import os
import re
import struct
import sys
import zlib

from capture import Capture
from sessions import VERSIONS, Talk, all_versions, key_log_line, peer, send, usual_capture, usual_talk
from shark import DEMO_KEY, HERE, OTHER_KEY, Shark, keys

KEY = keys(DEMO_KEY)
INFO = "_ws.col.Info"
FACTS = []


def fact(function):
    FACTS.append(function)
    return function


def infos(shark, cap, options=KEY, filter="tuya"):
    """The info columns of our frames, one entry per PDU, without what TCP puts in front."""
    rows = shark.fields(cap.save(shark.path("t.pcap")), INFO, options=options, filter=filter)
    return [re.sub(r"^(\[TCP [^]]*\] )+", "", pdu) for row in rows for pdu in row[0].split(" | ")]


@functools.lru_cache(maxsize=None)
def usual_infos(shark, version):
    return infos(shark, usual_capture(version))


def equal(a, b, what=""):
    if a != b:
        raise AssertionError(f"{what}\n  got      {a}\n  expected {b}")


def experts(shark, cap, options=KEY):
    """The expert infos of a capture by their abbreviations."""
    out = shark.run("-r", cap.save(shark.path("t.pcap")), *options, "-Y", "tuya", "-T", "pdml")
    return re.findall(r'<field name="_ws.expert"[^>]*>\s*<field name="(tuya\.[a-z_.]+)"', out)


def each_cut():
    return [(version, cuts) for version in ("3.3", "3.4", "3.5") for cuts in ((1,), (3, 4), (15, 17), (5, 20, 23))]


# --- segments -----------------------------------------------------------------------------------------------------

@fact
def segments_cut_anywhere_change_nothing(shark):
    cap = Capture()
    for i, (version, cuts) in enumerate(each_cut()):
        send(cap.tcp(client=("192.0.2.7", 51000 + i)), usual_talk(version), split=cuts)
    got = infos(shark, cap)
    for version, cuts in each_cut():
        expected = usual_infos(shark, version)
        equal(got[:len(expected)], expected, f"{version}, cut at {cuts}")
        del got[:len(expected)]


@fact
def every_byte_in_a_segment_of_its_own(shark):
    talk = usual_talk("3.5")
    cap = Capture(step_ms=1)
    tcp = cap.tcp()
    for direction, frame in talk.frames[:5]:
        (tcp.to_device if direction == peer.TO_DEVICE else tcp.from_device)(frame, split=range(1, len(frame)))
    equal(infos(shark, cap), usual_infos(shark, "3.5")[:5])


@fact
def retransmitted_segments_are_one_message(shark):
    cap = Capture()
    send(cap.tcp(), usual_talk("3.5"), split=(20,), again=True)
    equal(infos(shark, cap), usual_infos(shark, "3.5"))


@fact
def swapped_segments_are_put_in_order(shark):
    options = [*KEY, "-o", "tcp.reassemble_out_of_order:TRUE"]
    cap = Capture()
    send(cap.tcp(), usual_talk("3.5"), split=(20,), swap=True)
    equal(sorted(infos(shark, cap, options)), sorted(usual_infos(shark, "3.5")))


@fact
def several_frames_in_one_segment(shark):
    talk = usual_talk("3.5")
    cap = Capture()
    tcp = cap.tcp()
    for direction, frame in talk.frames[:5]:
        (tcp.to_device if direction == peer.TO_DEVICE else tcp.from_device)(frame)
    tcp.to_device(talk.frames[5][1])
    tcp.from_device(talk.frames[6][1] + talk.frames[7][1] + talk.frames[7][1][:0])
    equal(infos(shark, cap), usual_infos(shark, "3.5")[:8])


@fact
def lost_bytes_are_said_and_the_stream_goes_on(shark):
    talk = usual_talk("3.3")
    cap = Capture()
    tcp = cap.tcp()
    tcp.to_device(talk.frames[0][1])
    cut = talk.frames[1][1]
    tcp.lose(True, 40)  # the first 40 bytes of the reply
    tcp.from_device(cut[40:])
    send_rest = Talk("3.3")
    send_rest.frames = talk.frames[2:]
    send(tcp, send_rest)
    said = infos(shark, cap)
    assert any(f"skipped {len(cut) - 40} bytes" in line for line in said), said
    equal([x for x in said if "skipped" not in x][1:], usual_infos(shark, "3.3")[2:])


@fact
def a_damaged_length_hides_nothing_that_follows(shark):
    for version, at in (("3.3", 14), ("3.5", 16)):  # the second lowest byte of the length
        talk = usual_talk(version)
        n = 4 if version == "3.5" else 1  # the reply to the query
        direction, frame = talk.frames[n]
        talk.frames[n] = (direction, frame[:at] + b"\x80" + frame[at + 1:])
        cap = Capture()
        send(cap.tcp(), talk)
        got, expected = infos(shark, cap), usual_infos(shark, version)
        assert re.match(rf"\[frame of {len(frame)} bytes that says it has 3\d{{4}}\]", got[n]), got[n]
        equal(got[:n] + got[n + 1:], expected[:n] + expected[n + 1:], version)


@fact
def ports_that_are_used_again_are_a_new_connection(shark):
    cap = Capture()
    for i, version in enumerate(("3.4", "3.5", "3.3")):
        send(cap.tcp(first_seq=1000 + 10_000_000 * i), usual_talk(version))
    equal(infos(shark, cap), [line for version in ("3.4", "3.5", "3.3") for line in usual_infos(shark, version)])


@fact
def a_frame_quoted_by_icmp_teaches_nothing(shark):
    talk = usual_talk("3.5")
    cap = Capture()
    tcp = cap.tcp()
    rest = Talk("3.5")
    rest.frames, talk.frames = talk.frames[5:], talk.frames[:5]
    send(tcp, talk)
    cap.icmp_quoting(4)
    cap.icmp_quoting(8)
    send(tcp, rest)
    equal(infos(shark, cap, filter="tuya && !icmp"), usual_infos(shark, "3.5"))
    equal(len(infos(shark, cap, filter="tuya && icmp")), 2)


@fact
def a_frame_cut_by_the_snap_length_is_said(shark):
    cap = usual_capture("3.3")
    pcap = cap.save(shark.path("snap.pcap"), snaplen=100)
    said = [r[0] for r in shark.fields(pcap, INFO, options=KEY, filter="tuya")]
    assert any("the rest was not captured" in line for line in said), said


@fact
def a_capture_that_begins_in_the_middle_of_a_frame(shark):
    talk = usual_talk("3.3")
    cap = Capture()
    tcp = cap.tcp(syn=False)
    tcp.from_device(talk.frames[1][1][30:] + talk.frames[4][1])
    said = infos(shark, cap)
    assert "skipped" in said[0], said
    assert said[1].startswith("3.3 STATUS"), said


# --- keys ---------------------------------------------------------------------------------------------------------

@fact
def two_devices_two_keys_found_by_trying(shark):
    cap = Capture()
    expected = []
    for n, version in enumerate(VERSIONS):
        for i, key in enumerate((DEMO_KEY, OTHER_KEY)):
            talk = usual_talk(version, key=key, device=f"device{i}")
            send(cap.tcp(client=("192.0.2.7", 51000 + n), device=(f"192.0.2.{33 + i}", 6668)), talk)
            expected += [(version, f"row {i}")] * len(talk.frames)
    rows = shark.fields(cap.save(shark.path("t.pcap")), "tuya.key", "tuya.key.note", "tuya.error", filter="tuya",
                        options=keys(("*", "sixteen letters.", "none of them"), ("device0", DEMO_KEY, "row 0"),
                                     ("*", OTHER_KEY, "row 1")))
    equal(len(rows), len(expected))
    for (key, note, error), (version, row) in zip(rows, expected):
        equal(error, "", version)
        assert key == "none" or note == row, (version, key, note, row)
    assert {row[0] for row in rows} == {"none", "local", "session"}


@fact
def a_key_with_quotes_and_backslashes(shark):
    key = "a<b>c'd&e\"f\\g$h%"
    cap = usual_capture("3.3", key=key)
    equal([x for x in infos(shark, cap, keys(key)) if "no key" in x], [])


@fact
def a_key_in_hex(shark):
    cap = usual_capture("3.4")
    equal([x for x in infos(shark, cap, keys("hex:" + DEMO_KEY.encode().hex())) if "no key" in x], [])


@fact
def a_key_of_the_wrong_length_is_refused(shark):
    shark.run("-r", usual_capture("3.3").save(shark.path("t.pcap")), *keys("short"), expect=1)
    assert "16 characters" in shark.stderr, shark.stderr


@fact
def a_missing_devices_json_is_said_and_the_capture_still_shown(shark):
    cap = usual_capture("3.3")
    equal(len(infos(shark, cap, [*KEY, "-o", "tuya.devices:/nonexistent.json"])), 12)
    assert "/nonexistent.json" in shark.stderr, shark.stderr


@fact
def another_start_on_the_connection_keeps_both_keys(shark):
    first, second = usual_talk("3.5"), usual_talk("3.5", client_nonce=bytes(range(16, 32)))
    cap = Capture()
    tcp = cap.tcp()
    send(tcp, first)
    send(tcp, second)
    equal([x for x in infos(shark, cap) if "[" in x and "refresh" not in x], [])


@fact
def without_the_handshake_the_log_is_asked_for(shark):
    cap, log = Capture(), ""
    for i, version in enumerate(("3.4", "3.5")):
        talk = usual_talk(version)
        log += key_log_line(talk)
        talk.frames = talk.frames[3:]
        send(cap.tcp(client=("192.0.2.7", 51000 + i), syn=False), talk)
    said = infos(shark, cap)
    assert all("[handshake missing]" in line for line in said), said
    equal(set(experts(shark, cap)), {"tuya.no_session", "tuya.retcode.refused"})
    with_log = infos(shark, cap, ["-o", "tuya.keylog:" + shark.write("key.log", log)])
    assert all("[h" not in line and "[n" not in line for line in with_log), with_log


@fact
def old_clients_constant_nonce_opens_without_start(shark):
    cap = Capture()
    for i, version in enumerate(("3.4", "3.5")):
        talk = usual_talk(version, client_nonce=b"0123456789abcdef")
        talk.frames = talk.frames[1:]
        send(cap.tcp(client=("192.0.2.7", 51000 + i)), talk)
    equal([x for x in infos(shark, cap) if "missing" in x or "no key" in x], [])


def opens_in_the_middle(shark, talk, before, after):
    """As in a live capture: the program that has the keys writes them while the packets come in."""
    cap = Capture()
    send(cap.tcp(), talk)
    log = shark.write("live.log", before)
    with open(cap.save(shark.path("t.pcap")), "rb") as f:
        data = f.read()
    # The reply to the query is the first to come afterwards: its record begins with 16 bytes of pcap, 54 of headers.
    half = data.index(talk.frames[4][1]) - 54 - 16
    p = shark.popen("-r", "-", "-l", "-o", "tuya.keylog:" + log, "-T", "fields", "-e", INFO, "-Y", "tuya")
    p.stdin.write(data[:half])
    p.stdin.flush()
    first = [p.stdout.readline().decode().strip() for _ in range(4)]
    shark.write("live.log", after)
    rest, _ = p.communicate(data[half:], timeout=60)
    equal([line.endswith("[no key fits]") for line in first], [True] * 4, first)
    assert "19=605" in rest.decode().split("\n")[0], rest
    equal(p.returncode, 0)


@fact
def a_key_log_that_grows_is_read_again(shark):
    talk = usual_talk("3.5")
    opens_in_the_middle(shark, talk, "# nothing yet\n", key_log_line(talk))


@fact
def a_key_log_that_begins_anew_is_read_from_its_start(shark):
    talk, other = usual_talk("3.5"), "TUYA_SESSION 3.5 " + 32 * "5" + " " + 32 * "a" + "\n"
    opens_in_the_middle(shark, talk, 3 * other, key_log_line(talk))
    opens_in_the_middle(shark, talk, other, key_log_line(talk) + "# longer than the one before\n")


# --- ports --------------------------------------------------------------------------------------------------------

@fact
def other_ports_are_guessed(shark):
    cap = Capture()
    for i, version in enumerate(VERSIONS):
        send(cap.tcp(device=("192.0.2.33", 45123 + i)), usual_talk(version))
    equal(infos(shark, cap), [line for version in VERSIONS for line in usual_infos(shark, version)])


@fact
def other_ports_by_decode_as(shark):
    options = [*KEY, "--disable-heuristic", "tuya_tcp", "-d", "tcp.port==45123,tuya"]
    equal(infos(shark, usual_capture("3.5", port=45123), options), usual_infos(shark, "3.5"))


@fact
def other_ports_by_preference(shark):
    options = [*KEY, "--disable-heuristic", "tuya_tcp", "-o", "tuya.tcp.port:6668,45123"]
    equal(infos(shark, usual_capture("3.5", port=45123), options), usual_infos(shark, "3.5"))


@fact
def without_syn_the_sides_are_told_by_the_frames(shark):
    cap = Capture()
    for i, version in enumerate(VERSIONS):
        send(cap.tcp(device=("192.0.2.33", 45123 + i), syn=False), usual_talk(version))
    equal(infos(shark, cap), [line for version in VERSIONS for line in usual_infos(shark, version)])


@fact
def a_frame_that_is_not_tuya_is_left_alone(shark):
    cap = Capture()
    cap.tcp().to_device(b"NICK somebody\r\nUSER somebody 0 * :irc lives on this port, too\r\n")
    cap.tcp(client=("192.0.2.7", 51001)).to_device(bytes.fromhex("1603010005010000010303"))
    equal(infos(shark, cap), [])


@fact
def discovery_ports_are_shared_with_their_owners(shark):
    with open(os.path.join(HERE, "..", "vectors", "discovery.json"), encoding="utf-8") as f:
        request = next(v for v in json.load(f)["vectors"] if v["id"] == "disc-35-request")
    rx = struct.pack(">IIIIIBBBBHH", 1, 2, 0, 1, 1, 1, 1, 0, 0, 0, 0) + bytes(8)  # AFS rx, a data packet
    cap = Capture()
    cap.udp("192.0.2.5", 7000, rx, dst="192.0.2.6", src_port=7001)
    cap.udp("192.0.2.7", 7000, bytes.fromhex(request["frame_hex"]))
    cap.udp("192.0.2.7", 17000, bytes.fromhex(request["frame_hex"]))
    rows = shark.fields(cap.save(shark.path("t.pcap")), "_ws.col.Protocol")
    equal(rows, [["AFS (RX)"], ["Tuya"], ["Tuya"]])


# --- passes -------------------------------------------------------------------------------------------------------

@fact
def two_passes_show_what_one_pass_shows_and_the_replies(shark):
    pcap = all_versions("3.3", "3.4", "3.5").save(shark.path("t.pcap"))
    once, twice = shark.frames(pcap, KEY), shark.frames(pcap, [*KEY, "-2"])
    by_number = {f["frame"]: f["tuya"] for f in twice}
    replies = 0
    for f in twice:
        reply = f["tuya"].pop("tuya.response_in", None)
        if reply is not None:
            replies += 1
            equal(by_number[int(reply)]["tuya.response_to"], str(f["frame"]))
    equal(replies, 5 + 6 + 6)
    equal(twice, once)


@fact
def what_a_filter_leaves_is_opened_as_before(shark):
    pcap = usual_capture("3.5").save(shark.path("t.pcap"))
    everything = {f["frame"]: f for f in shark.frames(pcap, [*KEY, "-2"])}
    for f in shark.frames(pcap, [*KEY, "-2", "-R", "frame.number >= 4"], filter="tuya.dp.id == 19"):
        assert "tuya.dps" in f["tuya"], f
    some = shark.frames(pcap, [*KEY, "-2"], filter="tuya.cmd == 8")
    equal([everything[f["frame"]] for f in some], some)


@fact
def the_second_pass_knows_the_version(shark):
    pcap = usual_capture("3.2").save(shark.path("t.pcap"))
    versions = {r[0] for r in shark.fields(pcap, "tuya.version", filter="tuya", options=[*KEY, "-2"])}
    equal(versions, {"3.2"})


# --- fields -------------------------------------------------------------------------------------------------------

@fact
def data_points_filter_as_numbers(shark):
    pcap = all_versions().save(shark.path("t.pcap"))
    n = len(VERSIONS)
    equal(len(shark.fields(pcap, "frame.number", filter="tuya.dp.id == 19", options=KEY)), 3 * n)
    equal(len(shark.fields(pcap, "frame.number", filter="tuya.dp.19 > 500", options=KEY)), 2 * n)
    equal(len(shark.fields(pcap, "frame.number", filter="tuya.dp.value == 605", options=KEY)), 2 * n)
    equal(shark.fields(pcap, "tuya.dp.19", filter="tuya.cmd == 8", options=KEY), [["0"], ["605"]] * n)


@fact
def json_goes_to_its_own_dissector(shark):
    pcap = usual_capture("3.5").save(shark.path("t.pcap"))
    rows = shark.fields(pcap, "json.path_with_value", filter="tuya.cmd == 8", options=KEY)
    assert "/data/dps/19:605" in rows[1][0], rows


@fact
def plaintext_is_a_data_source_of_its_own(shark):
    out = shark.run("-r", all_versions().save(shark.path("t.pcap")), *KEY, "-x", "-Y", "tuya.cmd == 8")
    equal(out.count("Decrypted Tuya ("), 2 * len(VERSIONS))


@fact
def exported_pdus_open_without_the_plugin(shark):
    pcap = usual_capture("3.5").save(shark.path("t.pcap"))
    exported = shark.path("exported.pcapng")
    shark.run("-r", pcap, *KEY, "-U", "Tuya", "-w", exported)
    out = shark.run("-r", exported, "--disable-protocol", "tuya", "-T", "fields", "-e", "json.path_with_value")
    assert "/data/dps/19:605" in out, out
    equal(len(out.splitlines()), 8)  # of 15 frames: those with a body that is JSON or text


# --- expert infos -------------------------------------------------------------------------------------------------

def flip(frame, at):
    return frame[:at] + bytes([frame[at] ^ 1]) + frame[at + 1:]


@fact
def damage_is_said_to_be_damage(shark):
    cap = Capture()
    for i, version in enumerate(VERSIONS):
        talk = usual_talk(version)
        talk.frames.append((peer.TO_DEVICE, flip(talk.frames[-2][1], 22)))
        send(cap.tcp(client=("192.0.2.7", 51000 + i)), talk)
    equal(experts(shark, cap).count("tuya.integrity.bad"), len(VERSIONS))
    rows = shark.fields(shark.path("t.pcap"), "tuya.integrity", filter='tuya.error == "bad_integrity"', options=KEY)
    equal(rows, [["0"]] * len(VERSIONS))


@fact
def trouble_has_names(shark):
    talk = Talk("3.5")
    talk.ask(0x99, {})
    talk.client_seq -= 3
    talk.ask(peer.DP_QUERY_NEW, {})
    talk.tell(peer.DP_QUERY_NEW, "json obj data unvalid", retcode=1)
    talk.ask(peer.CONTROL_NEW, {"data": {"dps": {"101": "x" * 5000}}})
    cap = Capture()
    tcp = cap.tcp()
    send(tcp, talk)
    tcp.to_device(b"\xff" * 40 + talk.frames[-1][1][:9])
    said = experts(shark, cap)
    for name in ("cmd.unknown", "seq.back", "retcode.refused", "length.large", "skipped.expert"):
        assert f"tuya.{name}" in said, f"{name} is not among {said}"
    assert "tuya.no_key" in experts(shark, cap, options=())


@fact
def an_impostor_is_told_by_its_proof(shark):
    talk = Talk("3.4")
    talk.frames[1:] = []
    talk.tell(peer.RESP, bytes(16) + bytes(32))
    cap = Capture()
    send(cap.tcp(), talk)
    assert "tuya.session.proof.bad" in experts(shark, cap)


@fact
def a_wrong_signature_is_said(shark):
    talk = Talk("3.1")
    talk.switch(True)
    frame = bytearray(talk.frames[0][1])
    frame[19] = ord("0") if frame[19] != ord("0") else ord("1")
    frame[-8:-4] = zlib.crc32(frame[:-8]).to_bytes(4, "big")
    talk.frames.append((peer.TO_DEVICE, bytes(frame)))
    cap = Capture()
    send(cap.tcp(), talk)
    equal(experts(shark, cap), ["tuya.signature.bad"])
    equal(infos(shark, cap)[-1], "3.1 CONTROL seq=1  [bad integrity]")


@fact
def a_session_key_that_begins_with_00_is_said(shark):
    with open(os.path.join(HERE, "..", "vectors", "session.json"), encoding="utf-8") as f:
        cases = [case for case in json.load(f)["cases"] if case["session_key_starts_with_00"]]
    cap = Capture()
    for i, case in enumerate(cases):
        tcp = cap.tcp(client=("192.0.2.7", 51000 + i))
        for f in case["frames"]:
            (tcp.to_device if f["direction"] == peer.TO_DEVICE else tcp.from_device)(bytes.fromhex(f["frame_hex"]))
    equal(experts(shark, cap), ["tuya.session.zero_key"] * len(cases))


if __name__ == "__main__":
    failed = 0
    chosen = [f for f in FACTS if not sys.argv[1:] or f.__name__ in sys.argv[1:]]
    part = re.fullmatch(r"(\d+)/(\d+)", "".join(sys.argv[1:]))
    if part:
        chosen = FACTS[int(part[1]) - 1::int(part[2])]
    assert chosen, f"no fact is called {sys.argv[1:]}"
    with Shark() as shark:
        for function in chosen:
            try:
                function(shark)
                print(f"ok   {function.__name__}")
            except AssertionError as e:
                failed += 1
                print(f"FAIL {function.__name__}: {e}")
            sys.stdout.flush()
    sys.exit(1 if failed else 0)
