"""A client of /ws with a library of others: calls, subscribes, prints what it hears.

listen.py URL [CERTIFICATE]: prints the answer of chr_node_info, then one line of
JSON for each event until it has heard a session open and close; leaves with a
close frame and prints the code that came back.
"""

import json
import ssl
import sys

import websocket

url = sys.argv[1]
options = {}
if len(sys.argv) > 2:
    options["sslopt"] = {"cert_reqs": ssl.CERT_REQUIRED, "ca_certs": sys.argv[2]}
socket = websocket.create_connection(url, timeout=30, **options)


def call(method, params, number):
    socket.send(
        json.dumps({"jsonrpc": "2.0", "method": method, "params": params, "id": number})
    )
    answer = json.loads(socket.recv())
    assert answer["id"] == number, answer
    return answer["result"]


print(json.dumps(call("chr_node_info", [], 1)), flush=True)
subscription = call("chr_subscribe", {"topics": ["session", "ticket", "status"]}, 2)
socket.ping("are you there?")
closed = False
while not closed:
    event = json.loads(socket.recv())
    assert event["method"] == "chr_event", event
    told = event["params"]
    assert told["subscription"] == subscription, told
    if told["topic"] == "status":
        print(json.dumps({"topic": "status", "devices": told["data"]["info"]["devices"]}), flush=True)
        continue
    print(json.dumps(told), flush=True)
    closed = told["data"].get("state") == "closed"
socket.send_close(1000, b"enough")
opcode, frame = socket.recv_data()
print(json.dumps({"close": int.from_bytes(frame[:2], "big"), "opcode": opcode}), flush=True)
socket.close()
