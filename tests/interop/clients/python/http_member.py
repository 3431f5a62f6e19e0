"""A member of a group over HTTP, with nothing but the standard library. Only the `member` command; the address is that of
the HTTP door."""

import base64
import json
import sys
import urllib.error
import urllib.request

import adapter

ADDRESS = sys.argv[1]


def ask(method, path, body=None):
    """Status and JSON of the answer."""
    data = None if body is None else json.dumps(body).encode()
    headers = {"content-type": "application/json"}
    request = urllib.request.Request(f"http://{ADDRESS}{path}", data, headers, method=method)
    try:
        with urllib.request.urlopen(request, timeout=90) as answer:
            text = answer.read()
            return answer.status, json.loads(text) if text else None
    except urllib.error.HTTPError as error:
        return error.code, json.loads(error.read())


def tell(record):
    value = record.get("value_base64")
    adapter.tell(
        record["topic"], record["partition"], record["offset"], None, value and base64.b64decode(value), [], record["timestamp"],
    )


class Http:
    def member(self, topic, group, ended):
        path = f"/v1/groups/{group}"
        body = {"topics": [topic], "limit": 50, "wait": "300ms", "format": "base64", "session_timeout": "8s"}
        told = None
        while not ended.is_set():
            status, answer = ask("POST", f"{path}/pull", body)
            if status == 409 and answer["code"] == "rebalanced":
                body.pop("commit", None)
                continue
            if status != 200:
                sys.exit(f"{status}: {answer}")
            now = [partition for one in answer["assignment"] for partition in one["partitions"]]
            if now != told and not answer.get("rebalancing"):
                adapter.tell_assigned(now)
                told = now
            for record in answer["records"]:
                tell(record)
            sys.stdout.flush()
            body["member"], body["commit"] = answer["member"], answer["next_commit"]
        if "member" in body:
            if body["commit"]["offsets"]:
                ask("POST", f"{path}/commit", {"member": body["member"], **body["commit"]})
            ask("DELETE", f"{path}/members/{body['member']}")


adapter.run(Http())
