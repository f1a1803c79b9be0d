# SPDX-License-Identifier: Apache-2.0
"""Runs commands for the test over a virtio-serial port: one JSON object a line, each way.

{id, run: [command, ...], input, seconds} -> {id, code, stdout, stderr}; {id, put: path, mode, data} -> {id}.
Bytes travel as base64 of zlib. Commands run beside each other, each in a process group that ends with it.
"""
import base64
import json
import os
import signal
import subprocess
import threading
import zlib

sending = threading.Lock()
port = os.open("/dev/vport0p1", os.O_RDWR)


def send(answer):
    data = json.dumps(answer).encode() + b"\n"
    with sending:
        while data:
            data = data[os.write(port, data):]


def encode(data):
    return base64.b64encode(zlib.compress(data, 1)).decode()


def decode(text):
    return zlib.decompress(base64.b64decode(text))


def run(request):
    child = subprocess.Popen(request["run"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                             start_new_session=True)
    try:
        stdout, stderr = child.communicate(decode(request["input"]), request["seconds"])
        code = child.returncode if child.returncode >= 0 else 128 - child.returncode
    except subprocess.TimeoutExpired:
        os.killpg(child.pid, signal.SIGKILL)
        stdout, stderr = child.communicate()
        code = 124
    return {"code": code, "stdout": encode(stdout), "stderr": encode(stderr)}


def put(request):
    os.makedirs(os.path.dirname(request["put"]), exist_ok=True)
    with open(request["put"], "wb") as file:
        file.write(decode(request["data"]))
    os.chmod(request["put"], request["mode"])
    return {}


def serve(request):
    try:
        answer = put(request) if "put" in request else run(request)
    except Exception as error:
        answer = {"error": str(error)}
    send({"id": request["id"], **answer})


send({"ready": os.uname().release})
chunks = []
while True:
    # the port hands out a page at a time
    *ends, rest = os.read(port, 1 << 16).split(b"\n")
    for end in ends:
        line = b"".join(chunks) + end
        chunks = []
        threading.Thread(target=serve, args=[json.loads(line)]).start()
    chunks.append(rest)
