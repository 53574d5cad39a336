"""Drives the sandbox by octoDNS with its Azure and its Cloudflare provider.

    python drive_octodns.py BINARY RECORD

Each provider's zone is dumped to files, the files are changed, synchronised, and synchronised again, which must find nothing to do.
"""

import functools
import io
import logging
import pathlib
import sys
import tempfile

import octodns_azure
import yaml
from octodns.manager import Manager

from driving import ZONE, Steps, same, sandbox

FRIENDLY = {"type": "CNAME", "ttl": 300, "value": "judge-jump.westeurope.cloudapp.azure.com."}
ADDRESSES = {"type": "A", "ttl": 600, "values": ["203.0.113.20", "203.0.113.21"]}
MARKS = {"type": "TXT", "ttl": 300, "value": "v=judge1"}


def main(binary, record):
    # octoDNS warns of record types that a provider does not know, which a zone with foreign records is meant to have.
    logging.basicConfig(level=logging.ERROR)
    # The provider cannot be told to leave login.microsoftonline.com alone; its credential can.
    octodns_azure.ClientSecretCredential = functools.partial(octodns_azure.ClientSecretCredential, disable_instance_discovery=True)
    steps = Steps("octoDNS")
    with sandbox(binary, record) as cloud:
        azure = {
            "class": "octodns_azure.AzureProvider",
            "sub_id": cloud.subscription,
            "resource_group": "rg-dns",
            "directory_id": cloud.tenant,
            "client_id": cloud.client_id,
            "key": cloud.client_secret,
            "authority": cloud.authority,
            "base_url": cloud.arm,
        }
        cloudflare = {"class": "octodns_cloudflare.CloudflareProvider", "token": cloud.cloudflare_token, "api_url": cloud.cloudflare_api, "retry_count": 0}
        for name, provider in (("azure", azure), ("cloudflare", cloudflare)):
            with tempfile.TemporaryDirectory() as directory:
                round_trip(steps, name, provider, pathlib.Path(directory))
    return steps.finish()


def round_trip(steps, name, provider, directory):
    files = directory / "zones"
    files.mkdir()
    config = directory / "config.yaml"
    config.write_text(
        yaml.safe_dump(
            {
                "providers": {"files": {"class": "octodns.provider.yaml.YamlProvider", "directory": str(files)}, name: provider},
                "zones": {f"{ZONE}.": {"sources": ["files"], "targets": [name], "lenient": True}},
            }
        )
    )
    file = files / f"{ZONE}.yaml"

    def sync():
        """A fresh manager each time, since providers remember what they read."""
        return Manager(str(config)).sync(dry_run=False, plan_output_fh=io.StringIO())

    with steps(f"{name}: dump"):
        Manager(str(config)).dump(f"{ZONE}.", str(files), [name], lenient=True)
        zone = yaml.safe_load(file.read_text())
        assert "www" in zone, zone
    with steps(f"{name}: sync of what was dumped changes nothing"):
        same(sync(), 0)
    with steps(f"{name}: sync of new records"):
        file.write_text(yaml.safe_dump(zone | {"judge": FRIENDLY, "judge-pair": ADDRESSES, "judge-mark": MARKS}))
        assert sync() > 0, "nothing was changed"
    with steps(f"{name}: sync again changes nothing"):
        same(sync(), 0)
    with steps(f"{name}: sync of a change of type"):
        file.write_text(yaml.safe_dump(zone | {"judge": {**ADDRESSES, "values": ["203.0.113.22"]}, "judge-mark": {**MARKS, "ttl": 900}}))
        assert sync() > 0, "nothing was changed"
        same(sync(), 0)
    with steps(f"{name}: sync back to what was dumped"):
        file.write_text(yaml.safe_dump(zone))
        assert sync() > 0, "nothing was changed"
        same(sync(), 0)


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
