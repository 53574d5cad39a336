"""Judges recorded Cloudflare exchanges by Cloudflare's own OpenAPI document with openapi-core.

    python judge_cloudflare.py DOCUMENT WHOSE EXCHANGES...

WHOSE is `ours` or `theirs`: whether the product itself must have taken part. Prints a count for each operation and every finding;
exits 1 on any finding, and when nothing was there to judge.

The document at hand is of August 2024, and some kinds of exchange go beyond it. Each has a check that stands in:

- PATCH of a record: the document demands a whole record, the service takes any part of one. What the request leaves out is
  completed from the record that was answered, then the whole is judged.
- POST .../dns_records/batch is newer: each of its operations is judged as the single operation that it stands for, and each
  record of the answer as the answer to that.
- The filters `name.exact`, `content.exact` and their kin are newer: names of query parameters are checked against a list.
- `settings` of a record is newer: it may stand in a request.
- The document demands `content` of every record that is written, also of those whose content is `data` (CAA, SRV, HTTPS) and
  where it calls `content` read-only. Each type says for itself what it needs, so the general demand is dropped.
- The document has error codes begin at 1000; that of a throttled call is 971.
- `comment.present` and its kin are flags, which may stand without a value.
- Paths outside the document (page rules, DNS settings, usage, export, tokens of an account): the envelope alone is judged.

The document lets unknown members pass; requests are checked for them here.

The request side is judged always of our own client, whose user agent begins with `cnamed`, and of other clients when it was not
refused, since they are also made to ask for refusals. A request without a user agent comes from the sandbox's own tests, which send
on purpose what the service tolerates or refuses: of these the answers alone are judged.
"""

import json
import pathlib
import re
import sys
from collections import Counter
from urllib.parse import parse_qsl, urlsplit

from jsonschema.exceptions import best_match
from openapi_core import OpenAPI
from openapi_core.testing import MockRequest, MockResponse

ROOT = "https://api.cloudflare.com"
PREFIX = "/client/v4"
# Template, and whether the document describes it. The first match counts.
PATHS = [
    (re.compile(r"/user/tokens/verify"), "/user/tokens/verify", True),
    (re.compile(r"/zones"), "/zones", True),
    (re.compile(r"/zones/[^/]+"), "/zones/{zone}", True),
    (re.compile(r"/zones/[^/]+/dns_records"), "/zones/{zone}/dns_records", True),
    (re.compile(r"/zones/[^/]+/dns_records/(export|usage|import|scan|batch)"), "(newer record calls)", False),
    (re.compile(r"/zones/[^/]+/dns_records/[^/]+"), "/zones/{zone}/dns_records/{record}", True),
]
BATCH = re.compile(r"/zones/[^/]+/dns_records/batch")
# The order in which the service runs a batch, and the single call that each part stands for.
BATCH_PARTS = {"deletes": "DELETE", "patches": "PATCH", "puts": "PUT", "posts": "POST"}

PAGING = {"page", "per_page", "order", "direction", "match"}
RECORD_FILTERS = (
    PAGING
    | {"name", "type", "content", "proxied", "comment", "tag", "tag_match", "search", "include_shadow_metadata"}
    | {f"{field}.{how}" for field in ("name", "content", "comment", "tag") for how in ("exact", "contains", "startswith", "endswith")}
    | {f"{field}.{how}" for field in ("comment", "tag") for how in ("present", "absent")}
)
ZONE_FILTERS = PAGING | {"name", "status", "type", "account.id", "account.name"}
FILTERS = {"/zones": ZONE_FILTERS, "/zones/{zone}/dns_records": RECORD_FILTERS}


class Judge:
    """The document, loaded once."""

    def __init__(self, document):
        self.schemas = document["components"]["schemas"]
        written = self.schemas["dns-records_dns-record__request"]
        written["required"] = [name for name in written["required"] if name != "content"]
        for name, schema in self.schemas.items():
            if name.endswith("_messages"):
                schema["items"]["properties"]["code"].pop("minimum", None)
        for parameter in document["paths"]["/zones/{zone_id}/dns_records"]["get"]["parameters"]:
            if parameter["name"].endswith((".present", ".absent")):
                parameter["allowEmptyValue"] = True
        self.openapi = OpenAPI.from_dict({**document, "servers": [{"url": ROOT + PREFIX}]})

    def judge(self, exchange):
        """The operation that an exchange belongs to, and all that is wrong with it."""
        request, response = exchange["liveRequest"], exchange["liveResponse"]
        path = path_of(request)
        method = request["method"]
        findings = envelope(response)
        if request["headers"].get("authorization", "redacted") != "redacted":
            findings.append("the recording holds an authorization header")
        agent = request["headers"].get("user-agent", "")
        judged = is_ours(exchange) or (agent != "" and int(response["statusCode"]) < 400)

        if BATCH.fullmatch(path) and method == "POST":
            return f"{method} /zones/{{zone}}/dns_records/batch", findings + self.batch(exchange, judged)
        template, covered = next(((name, known) for pattern, name, known in PATHS if pattern.fullmatch(path)), ("(other paths)", False))
        if not covered:
            return f"{method} {template}", findings
        if judged:
            findings += filters(template, request["url"])
        return f"{method} {template}", findings + self.single(exchange, judged)

    def single(self, exchange, judged=True):
        """What is wrong with an exchange that the document describes."""
        exchange = completed(exchange)
        request, response = mock(exchange)
        findings = []
        if judged:
            findings += self.unknown_members(exchange["liveRequest"])
            findings += reasons("request", self.openapi.iter_request_errors(request))
        elif response.status_code == 405:
            # The document knows no such operation either.
            return []
        return findings + reasons("response", self.openapi.iter_response_errors(request, response))

    def batch(self, exchange, judged):
        """What is wrong with a batch, operation by operation."""
        request, response = exchange["liveRequest"], exchange["liveResponse"]
        body, result = request.get("body") or {}, (response.get("body") or {}).get("result") or {}
        applied = int(response["statusCode"]) < 400
        if not judged:
            return []
        findings = [f"request: a batch has no {name}" for name in body if name not in BATCH_PARTS]
        if not any(body.get(part) for part in BATCH_PARTS):
            findings.append("request: an empty batch")
        for part, method in BATCH_PARTS.items():
            asked, answered = body.get(part) or [], result.get(part) or []
            if applied and len(asked) != len(answered):
                findings.append(f"response: {len(asked)} {part} asked, {len(answered)} answered")
            for index, operation in enumerate(asked):
                answer = answered[index] if index < len(answered) else None
                findings += [f"{part}[{index}] {text}" for text in self.part(exchange, method, operation, answer)]
        return findings

    def part(self, exchange, method, operation, record):
        """What is wrong with one operation of a batch and with the record that answers it."""
        operation = dict(operation)
        path = urlsplit(exchange["liveRequest"]["url"]).path.removesuffix("/batch")
        findings = []
        if method != "POST":
            identifier = operation.pop("id", None)
            if not identifier:
                return ["request: no id"]
            path = f"{path}/{identifier}"
        if method == "DELETE":
            # The single delete answers an id, that of a batch the whole record: the answer is judged as one that was read.
            findings += [f"request: a delete has no {name}" for name in operation]
            method = "GET"
        if record is None:
            return findings
        single = {
            "liveRequest": {**exchange["liveRequest"], "method": method, "url": ROOT + path, "body": operation or None},
            "liveResponse": {**exchange["liveResponse"], "body": {"success": True, "errors": [], "messages": [], "result": record}},
        }
        return findings + self.single(single)

    def unknown_members(self, request):
        """The document has no `additionalProperties: false`, so that a misspelt member would pass."""
        body = request.get("body")
        if not isinstance(body, dict) or "/dns_records" not in request["url"]:
            return []
        schema = self.schemas.get(f"dns-records_{body.get('type')}Record__request")
        if schema is None:
            return [f"request: unknown record type {body.get('type')!r}"]
        known = self.members(schema) | {"settings"}
        return [f"request: unknown member {name!r}" for name in body if name not in known]

    def members(self, schema):
        """The names of an object's members, those of its parts included."""
        if "$ref" in schema:
            return self.members(self.schemas[schema["$ref"].rsplit("/", 1)[1]])
        return set(schema.get("properties", {})).union(*(self.members(part) for part in schema.get("allOf", [])))


def is_ours(exchange):
    """Whether the request was sent by the product itself."""
    return exchange["liveRequest"]["headers"].get("user-agent", "").startswith("cnamed")


def envelope(response):
    """Every answer of API v4 has the same envelope, whatever was asked."""
    body, status = response.get("body"), int(response["statusCode"])
    if not isinstance(body, dict):
        return ["response: no JSON envelope"]
    findings = [f"response: the envelope has no {name}" for name in ("success", "errors", "messages", "result") if name not in body]
    if body.get("success") is not (status < 400):
        findings.append(f"response: success is {body.get('success')} at status {status}")
    if status >= 400 and not body.get("errors"):
        findings.append("response: a failure without errors")
    return findings


def filters(template, url):
    """Unknown query parameters are ignored by the service, which then answers too much."""
    known = FILTERS.get(template, set())
    return [f"request: unknown query parameter {name!r}" for name, _ in query(url) if name not in known]


def completed(exchange):
    """A PATCH completed from the record that was answered; a refused one gets the barest record, so that its members are judged."""
    request, response = exchange["liveRequest"], exchange["liveResponse"]
    if request["method"] != "PATCH" or not isinstance(request.get("body"), dict):
        return exchange
    answered = (response.get("body") or {}).get("result") or {"type": "TXT", "name": "example.com", "content": "-"}
    kept = {name: answered[name] for name in ("type", "name", "content", "data", "priority") if name in answered}
    if "content" in request["body"]:
        kept.pop("data", None)
    return {**exchange, "liveRequest": {**request, "body": {**kept, **request["body"]}}}


def mock(exchange):
    """The exchange as openapi-core wants it."""
    request, response = exchange["liveRequest"], exchange["liveResponse"]
    headers = dict(request["headers"])
    if "authorization" in headers:
        headers["authorization"] = "Bearer redacted"
    return (
        MockRequest(
            ROOT,
            request["method"],
            PREFIX + path_of(request),
            args=query(request["url"]),
            headers=headers,
            data=encoded(request.get("body")),
            content_type=media_type(request["headers"]),
        ),
        MockResponse(encoded(response.get("body")), int(response["statusCode"]), content_type=media_type(response["headers"])),
    )


def path_of(request):
    return urlsplit(request["url"]).path.removeprefix(PREFIX).rstrip("/")


def query(url):
    return parse_qsl(urlsplit(url).query, keep_blank_values=True)


def encoded(body):
    return b"" if body is None else json.dumps(body).encode()


def media_type(headers):
    return headers.get("content-type", "application/json").split(";")[0].strip()


def reasons(side, errors):
    """openapi-core wraps what jsonschema found; the innermost reason is the one to show."""
    texts = []
    for error in errors:
        while error.__cause__ is not None and not getattr(error, "schema_errors", None):
            error = error.__cause__
        found = getattr(error, "schema_errors", None)
        if not found:
            texts.append(f"{side}: {type(error).__name__} {error}")
            continue
        for reason in (innermost(best_match([reason])) for reason in found):
            place = "/".join(map(str, reason.absolute_path))
            texts.append(f"{side}: /{place} {reason.message[:300]}")
    return texts


def innermost(reason):
    """Of the twenty kinds of record that a body is not, the one that its `type` names."""
    alternatives = {}
    for inner in reason.context or ():
        alternatives.setdefault(inner.relative_schema_path[0], []).append(inner)
    for errors in alternatives.values():
        if all(list(inner.relative_path) != ["type"] for inner in errors):
            return innermost(errors[0])
    return reason


def recorded(places):
    """Every recorded Cloudflare exchange under the given folders and files."""
    for place in map(pathlib.Path, places):
        for file in sorted(place.rglob("*.json")) if place.is_dir() else [place]:
            exchange = json.loads(file.read_text())
            if exchange["service"] == "cloudflare":
                yield file, exchange


def main(document, whose, *places):
    judge = Judge(json.loads(pathlib.Path(document).read_text()))
    passed, failed = Counter(), Counter()
    some = False
    for file, exchange in recorded(places):
        some = some or whose == "theirs" or is_ours(exchange)
        operation, findings = judge.judge(exchange)
        (failed if findings else passed)[operation] += 1
        if findings:
            print(f"{exchange['liveRequest']['method']} {exchange['liveRequest']['url']} -> {exchange['liveResponse']['statusCode']} ({file})")
        for finding in findings:
            print(f"    {finding}")
    for operation in sorted(passed.keys() | failed.keys()):
        print(f"  {operation}: {passed[operation]} passed, {failed[operation]} failed")
    print(f"cloudflare: {passed.total()} passed, {failed.total()} failed")
    if not some:
        print(f"cloudflare: nothing of {whose} was recorded")
    return 0 if some and not failed else 1


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
