"""Drives the sandbox by Cloudflare's own client.

    python drive_cloudflare.py BINARY RECORD
"""

import sys

from cloudflare import APIStatusError, Cloudflare

from driving import ZONE, Steps, ask, same, sandbox

NAME = f"judge.{ZONE}"


def main(binary, record):
    steps = Steps("cloudflare client")
    with sandbox(binary, record) as cloud:
        client = Cloudflare(api_token=cloud.cloudflare_token, base_url=cloud.cloudflare_api, max_retries=0)
        zone = identity(steps, client, cloud)
        reading(steps, client, zone)
        made = writing(steps, client, zone, cloud)
        batching(steps, client, zone, made)
        refusals(steps, client, zone)
    return steps.finish()


def identity(steps, client, cloud):
    with steps("token verify"):
        same(client.user.tokens.verify().status, "active")
    with steps("token that is unknown"):
        stranger = Cloudflare(api_token="0" * 40, base_url=cloud.cloudflare_api, max_retries=0)
        refused(None, stranger.user.tokens.verify)
    with steps("zones list"):
        zones = list(client.zones.list())
        assert ZONE in [zone.name for zone in zones]
    with steps("zone by its name"):
        found = list(client.zones.list(name=ZONE))
        same([zone.name for zone in found], [ZONE])
        same([zone.name for zone in client.zones.list(name="none.example")], [])
    with steps("zone get"):
        same(client.zones.get(zone_id=found[0].id).name, ZONE)
    return found[0].id


def reading(steps, client, zone):
    records = client.dns.records
    with steps("records list"):
        everything = list(records.list(zone_id=zone))
        assert {"A", "CAA", "HTTPS"} <= {record.type for record in everything}, [record.type for record in everything]
    with steps("records list page by page"):
        same([record.id for record in records.list(zone_id=zone, per_page=5)], [record.id for record in everything])
    with steps("records by exact name"):
        same({record.name for record in records.list(zone_id=zone, name={"exact": f"www.{ZONE}"})}, {f"www.{ZONE}"})
    with steps("records by type"):
        same({record.type for record in records.list(zone_id=zone, type="CAA")}, {"CAA"})
    with steps("records by any of two filters"):
        found = records.list(zone_id=zone, name={"exact": f"www.{ZONE}"}, type="CAA", match="any")
        assert len({record.type for record in found}) > 1


def writing(steps, client, zone, cloud):
    records = client.dns.records
    with steps("record create"):
        made = records.create(zone_id=zone, type="CNAME", name="Judge", content="one.example.net", ttl=300, comment="by a person", proxied=False)
        same((made.name, made.content, made.ttl, made.comment), (NAME, "one.example.net", 300, "by a person"))
    with steps("record get"):
        same(records.get(made.id, zone_id=zone).id, made.id)
    with steps("record is served by every name server"):
        for server in cloud.dns["cloudflare"]:
            same(ask(server, NAME, "CNAME"), ["one.example.net."])
    with steps("record edit keeps what it leaves out"):
        edited = records.edit(made.id, zone_id=zone, type="CNAME", name=NAME, ttl=300, content="two.example.net")
        same((edited.content, edited.comment), ("two.example.net", "by a person"))
    with steps("record update drops what it leaves out"):
        updated = records.update(made.id, zone_id=zone, type="CNAME", name=NAME, content="three.example.net", ttl=300)
        same((updated.content, updated.comment), ("three.example.net", None))
    with steps("records by comment"):
        records.edit(made.id, zone_id=zone, type="CNAME", name=NAME, ttl=300, content="two.example.net", comment="managed by judge")
        same([record.id for record in records.list(zone_id=zone, comment={"endswith": "by judge"})], [made.id])
    with steps("automatic ttl of a proxied record"):
        same(records.edit(made.id, zone_id=zone, type="CNAME", name=NAME, content="two.example.net", ttl=300, proxied=True).ttl, 1)
    return made


def batching(steps, client, zone, made):
    records = client.dns.records
    with steps("batch: a CNAME gives way to an A"):
        done = records.batch(
            zone_id=zone,
            posts=[{"type": "A", "name": NAME, "content": "203.0.113.9", "ttl": 300}],
            deletes=[{"id": made.id}],
        )
        same(([record.id for record in done.deletes], [record.type for record in done.posts]), ([made.id], ["A"]))
    with steps("batch: patch and put"):
        address = done.posts[0]
        done = records.batch(zone_id=zone, patches=[{"id": address.id, "type": "A", "name": NAME, "ttl": 600, "content": "203.0.113.10"}])
        same((done.patches[0].ttl, done.patches[0].content), (600, "203.0.113.10"))
        done = records.batch(zone_id=zone, puts=[{"id": address.id, "type": "A", "name": NAME, "content": "203.0.113.11", "ttl": 120}])
        same(done.puts[0].content, "203.0.113.11")
    with steps("batch: all or nothing"):
        refused(
            81053,
            lambda: records.batch(
                zone_id=zone,
                patches=[{"id": address.id, "type": "A", "name": NAME, "ttl": 60, "content": "203.0.113.12"}],
                posts=[{"type": "CNAME", "name": f"www.{ZONE}", "content": "one.example.net", "ttl": 300}],
            ),
        )
        same(records.get(address.id, zone_id=zone).content, "203.0.113.11")
    with steps("record delete"):
        same(records.delete(address.id, zone_id=zone).id, address.id)
        same([record.id for record in records.list(zone_id=zone, name={"exact": NAME})], [])


def refusals(steps, client, zone):
    records = client.dns.records
    wanted = {"zone_id": zone, "type": "CNAME", "name": f"other.{ZONE}", "ttl": 300}
    with steps("CNAME beside another record"):
        refused(81053, lambda: records.create(**{**wanted, "name": f"www.{ZONE}", "content": "one.example.net"}))
    with steps("CNAME to itself"):
        refused(9039, lambda: records.create(**wanted, content=f"other.{ZONE}"))
    with steps("ttl too low"):
        refused(9021, lambda: records.create(**{**wanted, "ttl": 5}, content="one.example.net"))
    with steps("record that is not there"):
        refused(81044, lambda: records.get("0" * 32, zone_id=zone))
    with steps("zone that is not there"):
        refused(None, lambda: records.list(zone_id="0" * 32))


def refused(code, call):
    """Fails unless the call is refused, and with `code` where one is given."""
    try:
        call()
    except APIStatusError as error:
        codes = [each["code"] for each in error.response.json()["errors"]]
        assert code is None or code in codes, codes
        return
    raise AssertionError("answered instead of refused")


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
