#!/usr/bin/env python3
"""Writes vectors.json: requests as botocore and curl sign them. Needs botocore, and curl with --aws-sigv4.

Each request is what goes over the wire: those of real clients are caught by a server here, the odd ones are taken
from botocore's signer before anything else touches them. "now" is the time they were signed at.
"""

import datetime
import http.server
import json
import pathlib
import subprocess
import threading
from urllib.parse import urlsplit

import botocore.auth
import botocore.session
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

KEY, SECRET = "AKIDEXAMPLE", "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"
TOKEN = "FwoGZXIvYXdzEBY+/a b=="
REGION = "us-west-2"
NOW = datetime.datetime(2024, 1, 2, 3, 4, 5, tzinfo=datetime.timezone.utc)
HOST = "http://kinesisvideo.us-west-2.amazonaws.com"
PUT_MEDIA = {
    "x-amzn-stream-name": "cam1",
    "x-amzn-fragment-timecode-type": "ABSOLUTE",
    "x-amzn-producer-start-timestamp": "1704164645.000",
}
vectors = []


def add(name, method, target, headers, body):
    """Keeps a request of which `headers` are pairs in the order of the wire."""
    path, _, query = target.partition("?")
    dates = [value for key, value in headers if key.lower() == "x-amz-date"]
    dates += [p.split("=")[1] for p in query.split("&") if p.startswith("X-Amz-Date=")]
    vectors.append(
        {"name": name, "now": dates[0], "method": method, "path": path, "query": query,
         "headers": headers, "body": body.decode()}
    )


def sign(name, url, headers=(), body=b"", method="POST", token=None, expires=None, params=None, late_token=False):
    """A request signed by botocore's signer alone."""
    request = AWSRequest(method=method, url=url, data=body, params=params or {})
    for key, value in headers:
        request.headers.add_header(key, value)
    credentials = Credentials(KEY, SECRET, token)
    botocore.auth.get_current_datetime = lambda *_, **__: NOW
    if expires is None:
        botocore.auth.SigV4Auth(credentials, "kinesisvideo", REGION).add_auth(request)
    else:
        request.data = b""
        request = presign(request, credentials, expires, body)
    prepared = request.prepare()
    parts = urlsplit(prepared.url)
    target = (parts.path or "/") + ("?" + parts.query if parts.query else "")
    # Those of the request itself: a prepared one keeps a single header of each name.
    sent = [[key, value] for key, value in request.headers.items() if key.lower() != "content-length"]
    if "host" not in [key.lower() for key, _ in sent]:
        sent.append(["Host", parts.netloc.split("@")[-1]])
    if late_token:
        sent.append(["X-Amz-Security-Token", TOKEN])
    add(name, method, target, sent, body)


def presign(request, credentials, expires, body):
    class Presigner(botocore.auth.SigV4QueryAuth):
        # A body stays in the body, and is signed as one.
        def payload(self, _):
            return botocore.auth.sha256(body).hexdigest()

    Presigner(credentials, "kinesisvideo", REGION, expires).add_auth(request)
    return request


class Recorder(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def answer(self):
        length = int(self.headers.get("content-length") or 0)
        body = self.rfile.read(length)
        if "chunked" in (self.headers.get("transfer-encoding") or ""):
            while size := int(self.rfile.readline(), 16):
                body += self.rfile.read(size)
                self.rfile.readline()
            self.rfile.readline()
        headers = [[key, value.encode("latin-1").decode()] for key, value in self.headers.items()]
        # Never signed, and says more about the machine than matters.
        headers = [[key, "client" if key.lower() == "user-agent" else value] for key, value in headers]
        add(self.server.name, self.command, self.path, headers, body)
        self.send_response(200)
        self.send_header("content-length", "2")
        self.end_headers()
        self.wfile.write(b"{}")

    do_GET = do_POST = answer

    def log_message(self, *_):
        pass


def odd_requests():
    json_body = b'{"StreamName":"cam1"}'
    date = [("X-Odd", "plain")]
    sign("botocore: describe", HOST + "/describeStream", body=json_body)
    sign("botocore: no body", HOST + "/describeStream")
    sign("botocore: port", "http://localhost:4580/describeStream", body=json_body)
    sign("botocore: default port", "http://localhost:80/describeStream", [("Host", "localhost")], json_body)
    sign("botocore: ipv6", "http://[::1]:4580/describeStream", body=json_body)
    sign("botocore: token", HOST + "/describeStream", body=json_body, token=TOKEN)
    sign("botocore: token added after signing", HOST + "/describeStream", body=json_body, late_token=True)
    sign("botocore: announced hash", HOST + "/describeStream",
         [("X-Amz-Content-SHA256", botocore.auth.sha256(json_body).hexdigest())], json_body)
    sign("botocore: unicode body", HOST + "/tagStream", body='{"Größe":"日本 😀"}'.encode())
    sign("botocore: spaces in a header", HOST + "/describeStream", [("X-Odd", "  a   b \t c  ")], json_body)
    sign("botocore: empty header", HOST + "/describeStream", [("X-Odd", "")], json_body)
    sign("botocore: unicode header", HOST + "/describeStream", [("X-Odd", "Größe 日本")], json_body)
    sign("botocore: header twice", HOST + "/describeStream", [("X-Odd", "b "), ("X-Odd", " a")], json_body)
    sign("botocore: commas and quotes", HOST + "/describeStream", [("X-Odd", 'a, "b  c" ,d;e=f')], json_body)
    sign("botocore: query", HOST + "/describeStream?b=1&a=2", date, json_body)
    sign("botocore: duplicate query names", HOST + "/describeStream?a=2&a=10&a=1&b", date, json_body)
    sign("botocore: prefix query names", HOST + "/describeStream?a-b=1&a=2&a.b=3&ab=4", date, json_body)
    sign("botocore: encoded query", HOST + "/describeStream?k=%C3%A9%20%2B%2f&x=a%3db", date, json_body)
    sign("botocore: plus in a query", HOST + "/describeStream?k=a+b", date, json_body)
    sign("botocore: parameters", HOST + "/describeStream", date, json_body,
         params={"key name": "a+b c/d=é&", "~": "*"})
    sign("botocore: GET", HOST + "/", method="GET")
    sign("botocore: empty path", HOST, body=json_body)
    sign("botocore: dots in the path", HOST + "/a/./b/../describeStream", body=json_body)
    sign("botocore: slashes in the path", HOST + "//describeStream//", body=json_body)
    sign("botocore: encoded path", HOST + "/a%20b/%C3%A9~", body=json_body)
    sign("botocore: putMedia", HOST + "/putMedia", PUT_MEDIA.items())
    sign("botocore: putMedia, unsigned payload", HOST + "/putMedia",
         [*PUT_MEDIA.items(), ("X-Amz-Content-SHA256", "UNSIGNED-PAYLOAD")])
    sign("botocore: putMedia, announced empty hash", HOST + "/putMedia",
         [*PUT_MEDIA.items(), ("X-Amz-Content-SHA256", botocore.auth.EMPTY_SHA256_HASH)])
    sign("presign: putMedia", HOST + "/putMedia", PUT_MEDIA.items(), expires=600)
    sign("presign: getMedia with a body", HOST + "/getMedia", body=json_body, expires=600)
    sign("presign: token", HOST + "/getMedia", body=json_body, token=TOKEN, expires=600)
    sign("presign: query of its own", HOST + "/getMedia?b=%2F&a=x%20y", body=json_body, expires=604800)
    sign("presign: channel", "http://v-0123abcd.kinesisvideo.us-west-2.amazonaws.com/?X-Amz-ChannelARN="
         "arn%3Aaws%3Akinesisvideo%3Aus-west-2%3A111122223333%3Achannel%2Fch1%2F1577439476380"
         "&X-Amz-ClientId=viewer-1", method="GET", token=TOKEN, expires=299)


def real_clients(server):
    url = f"http://127.0.0.1:{server.server_port}"
    session = botocore.session.Session()
    session.set_credentials(KEY, SECRET, TOKEN.replace(" ", ""))

    def call(service, method, **arguments):
        server.name = f"client: {service}.{method}"
        client = session.create_client(service, region_name=REGION, endpoint_url=url)
        getattr(client, method)(**arguments)

    call("kinesisvideo", "describe_stream", StreamName="cam1")
    call("kinesisvideo", "list_streams")
    call("kinesisvideo", "tag_resource", ResourceARN="arn:aws:kinesisvideo:us-west-2:111122223333:stream/cam1/1",
         Tags=[{"Key": "Größe", "Value": "日本"}])
    call("kinesis-video-media", "get_media", StreamName="cam1", StartSelector={"StartSelectorType": "NOW"})
    call("kinesis-video-archived-media", "list_fragments", StreamName="cam1")

    def curl(name, target, *arguments, **options):
        server.name = "curl: " + name
        command = ["curl", "-sS", "--aws-sigv4", f"aws:amz:{REGION}:kinesisvideo", "--user", f"{KEY}:{SECRET}"]
        subprocess.run([*command, *arguments, url + target], check=True, stdout=subprocess.DEVNULL, **options)

    body = ["-d", '{"StreamName":"cam1"}']
    curl("describe", "/describeStream", *body)
    curl("JSON", "/describeStream", *body, "-H", "Content-Type: application/json")
    curl("no body", "/listStreams", "-X", "POST")
    curl("token", "/describeStream", *body, "-H", "X-Amz-Security-Token: abc")
    curl("unicode header", "/describeStream", *body, "-H", "X-Odd: Größe")
    curl("putMedia from a pipe", "/putMedia", "-X", "POST", "-T", "-",
         *(word for pair in PUT_MEDIA.items() for word in ("-H", ": ".join(pair))), input=b"media")
    curl("sorted query", "/describeStream?a=1&b=2", *body)


def main():
    odd_requests()
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Recorder)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    real_clients(server)
    server.shutdown()
    lines = ",\n".join(json.dumps(vector, ensure_ascii=False) for vector in vectors)
    out = f'{{"access_key": "{KEY}", "secret": "{SECRET}", "vectors": [\n{lines}\n]}}\n'
    pathlib.Path(__file__).with_name("vectors.json").write_text(out)
    print(f"{len(vectors)} vectors")


if __name__ == "__main__":
    main()
