"""Proves the Cloudflare judge before it judges: right exchanges must pass, and each kind of fault put into one must be found.

    python selftest_cloudflare.py DOCUMENT
"""

import copy
import json
import pathlib
import sys

from judge_cloudflare import PREFIX, ROOT, Judge

ZONE = "023e105f4ecef8ad9ca31a8372d0c353"
RECORDS = f"/zones/{ZONE}/dns_records"
WANTED = {"type": "CNAME", "name": "a.example.com", "content": "b.example.net", "ttl": 60, "proxied": False, "comment": None}
READ = WANTED | {
    "id": "372e67954025e0ba6aaa6d586b9e0b59",
    "proxiable": True,
    "tags": [],
    "meta": {},
    "settings": {},
    "created_on": "2026-01-01T05:20:00.12345Z",
    "modified_on": "2026-01-01T05:20:00.12345Z",
}
CAA = {
    **{name: READ[name] for name in ("id", "tags", "created_on", "modified_on")},
    "type": "CAA",
    "name": "example.com",
    "content": '0 issue "ca.example.net"',
    "data": {"flags": 0, "tag": "issue", "value": "ca.example.net"},
    "ttl": 1,
    "proxiable": False,
}
ITEM = f"{RECORDS}/{READ['id']}"


def exchange(method, path, result, body=None, status=200, errors=(), agent="cnamed/0.1.0"):
    """One recorded exchange as it should be."""
    answer = {"success": status < 400, "errors": list(errors), "messages": [], "result": result}
    if isinstance(result, list):
        answer["result_info"] = {"page": 1, "per_page": 100, "count": len(result), "total_count": len(result), "total_pages": 1}
    headers = {"authorization": "redacted", "user-agent": agent}
    if body is not None:
        headers["content-type"] = "application/json"
    return {
        "service": "cloudflare",
        "liveRequest": {"method": method, "url": ROOT + PREFIX + path, "headers": headers, "body": body},
        "liveResponse": {"statusCode": str(status), "headers": {"content-type": "application/json"}, "body": answer},
    }


MISSING = {"code": 81044, "message": "Record does not exist."}
TAKEN = {"code": 81053, "message": "An A, AAAA, or CNAME record with that host already exists."}
ZONE_READ = {
    "id": ZONE,
    "name": "example.com",
    "status": "active",
    "paused": False,
    "type": "full",
    "development_mode": 0,
    "name_servers": ["a.ns.example.net", "b.ns.example.net"],
    "original_name_servers": None,
    "original_registrar": None,
    "original_dnshost": None,
    "activated_on": "2026-01-01T00:00:00Z",
    "created_on": "2026-01-01T00:00:00Z",
    "modified_on": "2026-01-01T00:00:00Z",
    "account": {"id": ZONE, "name": "example"},
    "owner": {"id": ZONE, "name": "example", "type": "organization"},
    "meta": {"step": 4, "page_rule_quota": 3},
}
BATCH = {
    "deletes": [{"id": READ["id"]}],
    "patches": [{"id": READ["id"], "content": "c.example.net"}],
    "posts": [WANTED],
}

GOOD = {
    "verify": exchange("GET", "/user/tokens/verify", {"id": ZONE, "status": "active"}),
    "zones": exchange("GET", "/zones?name=example.com", [ZONE_READ]),
    "list": exchange("GET", f"{RECORDS}?name.exact=a.example.com&match=all&page=1&per_page=100", [READ, CAA]),
    "empty list": exchange("GET", RECORDS, []),
    "read": exchange("GET", ITEM, READ),
    "create": exchange("POST", RECORDS, READ, WANTED),
    "create with data": exchange("POST", RECORDS, CAA, {"type": "CAA", "name": "example.com", "data": CAA["data"], "ttl": 1}),
    "patch": exchange("PATCH", ITEM, READ, {"content": "b.example.net"}),
    "put": exchange("PUT", ITEM, READ, WANTED),
    "delete": exchange("DELETE", ITEM, {"id": READ["id"]}),
    "missing": exchange("GET", ITEM, None, status=404, errors=[MISSING]),
    "taken": exchange("POST", RECORDS, None, WANTED, status=400, errors=[TAKEN]),
    "batch": exchange("POST", f"{RECORDS}/batch", {"deletes": [CAA], "patches": [READ], "puts": [], "posts": [READ]}, BATCH),
    "page rules": exchange("GET", f"/zones/{ZONE}/pagerules", []),
    "refused on purpose": exchange("POST", RECORDS, None, {"ttl": "x"}, status=400, errors=[TAKEN], agent="Cloudflare/Python"),
    "tolerated request of a test": exchange("POST", RECORDS, READ, WANTED | {"ttl": "60"}, agent=""),
    "flag": exchange("GET", f"{RECORDS}?comment.present", []),
    "throttled": exchange("GET", RECORDS, None, status=429, errors=[{"code": 971, "message": "x"}]),
    "no such operation": exchange("PUT", RECORDS, None, {}, status=405, errors=[MISSING], agent=""),
}


def body(name):
    return lambda found: found["liveRequest"]["body"].update(name)


def answer(name):
    return lambda found: found["liveResponse"]["body"].update(name)


def record(name):
    return lambda found: found["liveResponse"]["body"]["result"].update(name)


def without(place, name):
    return lambda found: place(found).pop(name)


# What is broken, in which exchange, how. A row that the judge does not notice fails the test.
FAULTS = [
    ("ttl as text", "create", body({"ttl": "60"})),
    ("ttl too low", "create", body({"ttl": 5})),
    ("unknown type", "create", body({"type": "ALIAS"})),
    ("misspelt member", "create", body({"comments": "x"})),
    ("read-only member", "create", body({"proxiable": True})),
    ("proxied null", "create", body({"proxied": None})),
    ("no content", "create", without(lambda found: found["liveRequest"]["body"], "content")),
    ("no data", "create with data", without(lambda found: found["liveRequest"]["body"], "data")),
    ("misspelt member of a patch", "patch", body({"contents": "x"})),
    ("wrong type in a patch", "patch", body({"proxied": "no"})),
    ("put of a part", "put", without(lambda found: found["liveRequest"]["body"], "name")),
    ("request that is not JSON", "create", lambda found: found["liveRequest"]["headers"].update({"content-type": "text/plain"})),
    ("no token", "read", lambda found: found["liveRequest"]["headers"].pop("authorization")),
    ("secret in the recording", "read", lambda found: found["liveRequest"]["headers"].update({"authorization": "Bearer x"})),
    ("unknown filter", "list", lambda found: found["liveRequest"].update(url=found["liveRequest"]["url"].replace("name.exact", "name.is"))),
    ("bad value of a filter", "list", lambda found: found["liveRequest"].update(url=found["liveRequest"]["url"].replace("match=all", "match=some"))),
    ("record without id", "read", without(lambda found: found["liveResponse"]["body"]["result"], "id")),
    ("record with a null ttl", "read", record({"ttl": None})),
    ("record with tags as text", "read", record({"tags": "a"})),
    ("record with a local time", "read", record({"created_on": "yesterday"})),
    ("record of an unknown type in a list", "list", lambda found: found["liveResponse"]["body"]["result"][0].update(type="ALIAS")),
    ("result that is no list", "list", answer({"result": {}})),
    ("success at 400", "taken", answer({"success": True})),
    ("failure at 200", "read", answer({"success": False})),
    ("failure without errors", "missing", answer({"errors": []})),
    ("code as text", "missing", answer({"errors": [{"code": "81044", "message": "x"}]})),
    ("no envelope", "page rules", lambda found: found["liveResponse"].update(body=[])),
    ("answer as HTML", "read", lambda found: found["liveResponse"].update(body="<html>")),
    ("undeclared status", "read", lambda found: found["liveResponse"].update(statusCode="301")),
    ("batch that answers too little", "batch", lambda found: found["liveResponse"]["body"]["result"].update(posts=[])),
    ("batch with a bad post", "batch", lambda found: found["liveRequest"]["body"]["posts"][0].update(ttl="60")),
    ("batch with a misspelt patch", "batch", lambda found: found["liveRequest"]["body"]["patches"][0].update(contents="x")),
    ("batch without an id", "batch", lambda found: found["liveRequest"]["body"]["deletes"][0].pop("id")),
    ("batch with an unknown part", "batch", body({"removes": []})),
    ("batch that is empty", "batch", lambda found: found["liveRequest"].update(body={})),
]


def main(document):
    judge = Judge(json.loads(pathlib.Path(document).read_text()))
    passed = failed = 0
    for name, right in GOOD.items():
        _, findings = judge.judge(right)
        passed, failed = passed + (not findings), failed + bool(findings)
        for finding in findings:
            print(f"refused: {name}: {finding}")
    for name, which, change in FAULTS:
        wrong = copy.deepcopy(GOOD[which])
        change(wrong)
        _, findings = judge.judge(wrong)
        passed, failed = passed + bool(findings), failed + (not findings)
        if not findings:
            print(f"fault not found: {name}")
        elif "-v" in sys.argv:
            print(name, findings[:2])
    print(f"cloudflare selftest: {passed} passed, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
