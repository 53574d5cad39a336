"""Drives the sandbox by Microsoft's own clients: azure-identity, azure-mgmt-resource, azure-mgmt-network and azure-mgmt-dns.

    python drive_azure.py BINARY RECORD

The 22 calls that any double of these services must answer rightly, and what the product stands on beyond them: the gateway in
front of a machine, and how it is refused.
"""

import logging
import sys

from azure.core.exceptions import ClientAuthenticationError, HttpResponseError
from azure.identity import ClientSecretCredential
from azure.mgmt.dns import DnsManagementClient
from azure.mgmt.network import NetworkManagementClient
from azure.mgmt.resource.resources import ResourceManagementClient

from driving import ZONE, Steps, ask, same, sandbox

GROUP = "rg-judge"
PLACE = "westeurope"
# What `dnsSettings.fqdn` must be without a scope.
NAME = f"judge-jump.{PLACE}.cloudapp.azure.com"


def main(binary, record):
    # Refusals are wanted here, and are reported by the steps.
    logging.getLogger("azure").setLevel(logging.CRITICAL)
    steps = Steps("azure clients")
    with sandbox(binary, record) as cloud:
        credential = ClientSecretCredential(
            cloud.tenant, cloud.client_id, cloud.client_secret, authority=cloud.authority, disable_instance_discovery=True
        )
        # Clouds of one's own take tokens for their own audience.
        common = {"base_url": cloud.arm, "credential_scopes": [f"{cloud.arm}/.default"], "connection_verify": cloud.ca, "polling_interval": 1}
        network = NetworkManagementClient(credential, cloud.subscription, **common)
        dns = DnsManagementClient(credential, cloud.subscription, **common)
        resources = ResourceManagementClient(credential, cloud.subscription, **common)
        tokens(steps, cloud)
        groups(steps, resources)
        address = public_ip(steps, network, cloud)
        gateway(steps, network, address)
        way_in(steps, network)
        gateway_refusals(steps, network)
        zone(steps, dns, cloud)
        alias(steps, dns, address, cloud)
        zone_at_hand(steps, dns)
        refusals(steps, network, dns)
        taken_down(steps, network)
    return steps.finish()


def tokens(steps, cloud):
    with steps("a wrong secret is refused"):
        wrong = ClientSecretCredential(cloud.tenant, cloud.client_id, "wrong", authority=cloud.authority, disable_instance_discovery=True)
        try:
            wrong.get_token(f"{cloud.arm}/.default")
        except ClientAuthenticationError as error:
            assert "AADSTS7000215" in str(error), error
        else:
            raise AssertionError("a wrong secret gave a token")


def groups(steps, resources):
    with steps("resource group put"):
        group = resources.resource_groups.create_or_update(GROUP, {"location": PLACE})
        same((group.name, group.location), (GROUP, PLACE))
    with steps("resource group get"):
        same(resources.resource_groups.get(GROUP).name, GROUP)
    with steps("resource groups list"):
        assert {"rg-mgmt", "rg-dns", GROUP} <= {group.name for group in resources.resource_groups.list()}
    with steps("virtual machine by its id"):
        found = [each for each in resources.resources.list_by_resource_group("rg-mgmt") if each.type.lower() == "microsoft.compute/virtualmachines"]
        same([each.name for each in found], ["vm-jump"])
        machine = resources.resources.get_by_id(found[0].id, api_version="2024-03-01")
        same(machine.location, PLACE)


def public_ip(steps, network, cloud):
    addresses = network.public_ip_addresses
    with steps("public IP put"):
        wanted = {
            "location": PLACE,
            "sku": {"name": "Standard", "tier": "Regional"},
            "zones": ["1", "2", "3"],
            "properties": {
                "publicIPAllocationMethod": "Static",
                "publicIPAddressVersion": "IPv4",
                "idleTimeoutInMinutes": 7,
                "dnsSettings": {"domainNameLabel": "judge-jump"},
            },
        }
        made = addresses.begin_create_or_update(GROUP, "pip-judge", wanted).result()
        same(made.dns_settings.fqdn, NAME)
        same((made.provisioning_state, made.idle_timeout_in_minutes), ("Succeeded", 7))
        assert made.ip_address, "a static address is assigned at creation"
    with steps("public IP get"):
        same(addresses.get(GROUP, "pip-judge").ip_address, made.ip_address)
    with steps("label is served with the address"):
        same(ask(cloud.dns["label"], NAME, "A"), [made.ip_address])
    with steps("public IP list"):
        same([each.name for each in addresses.list(GROUP)], ["pip-judge"])
    with steps("public IP list of the subscription"):
        assert "pip-judge" in [each.name for each in addresses.list_all()]
    with steps("public IP tags"):
        tagged = addresses.update_tags(GROUP, "pip-judge", {"tags": {"who": "judge"}})
        same((tagged.tags, tagged.idle_timeout_in_minutes), ({"who": "judge"}, 7))
    with steps("public IP put replaces: what is left out is gone"):
        kept = {key: value for key, value in wanted.items() if key != "zones"} | {"zones": wanted["zones"]}
        again = addresses.begin_create_or_update(GROUP, "pip-judge", kept).result()
        same((again.tags or {}, again.ip_address), ({}, made.ip_address))
    with steps("public IP put with a stale If-Match"):
        stale = {"If-Match": 'W/"00000000-0000-0000-0000-000000000000"'}
        refused(412, lambda: addresses.begin_create_or_update(GROUP, "pip-judge", wanted, headers=stale).result())
    with steps("public IP with a scope keeps its name when it is made again"):
        scoped = {**wanted, "properties": {**wanted["properties"], "dnsSettings": {"domainNameLabel": "judge-scoped", "domainNameLabelScope": "TenantReuse"}}}
        names = set()
        for _ in range(2):
            names.add(addresses.begin_create_or_update(GROUP, "pip-scoped", scoped).result().dns_settings.fqdn)
            addresses.begin_delete(GROUP, "pip-scoped").result()
        same([len(name.split(".")) for name in names], [len(NAME.split(".")) + 1])
    with steps("checkDnsNameAvailability"):
        same(network.check_dns_name_availability(PLACE, domain_name_label="judge-jump").available, False)
        same(network.check_dns_name_availability(PLACE, domain_name_label="judge-other").available, True)
    return addresses.get(GROUP, "pip-judge")


def gateway(steps, network, address):
    with steps("security group put"):
        group = network.network_security_groups.begin_create_or_update(GROUP, "nsg-judge", {"location": PLACE}).result()
        assert group.default_security_rules, "every group has its default rules"
    with steps("security rule put"):
        rule = {
            "properties": {
                "protocol": "Tcp",
                "access": "Allow",
                "direction": "Inbound",
                "priority": 300,
                "sourceAddressPrefix": "203.0.113.0/24",
                "sourcePortRange": "*",
                "destinationAddressPrefix": "*",
                "destinationPortRange": "3389",
            }
        }
        same(network.security_rules.begin_create_or_update(GROUP, "nsg-judge", "rdp", rule).result().priority, 300)
    with steps("virtual network put"):
        wanted = {
            "location": PLACE,
            "properties": {
                "addressSpace": {"addressPrefixes": ["10.9.0.0/16"]},
                "subnets": [{"name": "default", "properties": {"addressPrefix": "10.9.0.0/24"}}],
            },
        }
        net = network.virtual_networks.begin_create_or_update(GROUP, "vnet-judge", wanted).result()
        same([subnet.name for subnet in net.subnets], ["default"])
    with steps("network interface put"):
        wanted = {
            "location": PLACE,
            "properties": {
                "networkSecurityGroup": {"id": group.id},
                "ipConfigurations": [{"name": "ipconfig1", "properties": {"subnet": {"id": net.subnets[0].id}}}],
            },
        }
        network.network_interfaces.begin_create_or_update(GROUP, "nic-judge", wanted).result()
    with steps("network interface get"):
        card = network.network_interfaces.get(GROUP, "nic-judge")
        assert card.ip_configurations[0].private_ip_address.startswith("10.9.0."), card.ip_configurations
    with steps("load balancer put"):
        wanted = {
            "location": PLACE,
            "sku": {"name": "Standard"},
            "properties": {
                "frontendIPConfigurations": [{"name": "front", "properties": {"publicIPAddress": {"id": address.id}}}],
                "backendAddressPools": [{"name": "pool"}],
            },
        }
        balancer = network.load_balancers.begin_create_or_update(GROUP, "lb-judge", wanted).result()
        same([front.name for front in balancer.frontend_ip_configurations], ["front"])
    with steps("NAT rule put"):
        wanted = {
            "properties": {
                "frontendIPConfiguration": {"id": balancer.frontend_ip_configurations[0].id},
                "protocol": "Tcp",
                "frontendPort": 63011,
                "backendPort": 3389,
            }
        }
        rule = network.inbound_nat_rules.begin_create_or_update(GROUP, "lb-judge", "rdp", wanted).result()
        same((rule.frontend_port, rule.backend_port), (63011, 3389))
    with steps("NAT rule delete"):
        network.inbound_nat_rules.begin_delete(GROUP, "lb-judge", "rdp").result()
        same(list(network.inbound_nat_rules.list(GROUP, "lb-judge")), [])


def way_in(steps, network):
    """The gateway as the product builds it: a range of one port onto a pool, the interface in it, the group on its subnet."""
    balancers, rules, pools = network.load_balancers, network.inbound_nat_rules, network.load_balancer_backend_address_pools
    with steps("frontends list"):
        fronts = list(network.load_balancer_frontend_ip_configurations.list(GROUP, "lb-judge"))
        same([front.name for front in fronts], ["front"])
        same(network.load_balancer_frontend_ip_configurations.get(GROUP, "lb-judge", "front").id, fronts[0].id)
    with steps("NAT rule put, version 2"):
        rule = rules.begin_create_or_update(GROUP, "lb-judge", "ssh", range_rule(network, 63022, 22)).result()
        same((rule.frontend_port_range_start, rule.frontend_port_range_end, rule.backend_port), (63022, 63022, 22))
        same(rule.backend_address_pool.id, pools.get(GROUP, "lb-judge", "pool").id)
    with steps("network interface joins the pool"):
        network.network_interfaces.begin_create_or_update(GROUP, "nic-judge", card(network, in_pool=True)).result()
        members = pools.get(GROUP, "lb-judge", "pool").backend_ip_configurations
        assert [member.id.split("/")[8] for member in members] == ["nic-judge"], members
    with steps("port mapping by configuration and by address"):
        own = network.network_interfaces.get(GROUP, "nic-judge").ip_configurations[0]
        for question in ({"ipConfiguration": {"id": own.id}}, {"ipAddress": own.private_ip_address}):
            answer = balancers.begin_list_inbound_nat_rule_port_mappings(GROUP, "lb-judge", "pool", question).result()
            found = [(each.inbound_nat_rule_name, each.frontend_port, each.backend_port) for each in answer.inbound_nat_rule_port_mappings]
            same(found, [("ssh", 63022, 22)])
    with steps("pool put and delete"):
        pools.begin_create_or_update(GROUP, "lb-judge", "more", {"properties": {}}).result()
        same(sorted(pool.name for pool in pools.list(GROUP, "lb-judge")), ["more", "pool"])
        pools.begin_delete(GROUP, "lb-judge", "more").result()
        same([pool.name for pool in pools.list(GROUP, "lb-judge")], ["pool"])
    with steps("load balancer as it was read can be written"):
        read = balancers.get(GROUP, "lb-judge")
        written = balancers.begin_create_or_update(GROUP, "lb-judge", read).result()
        same([each.name for each in written.inbound_nat_rules], ["ssh"])
        same(len(written.backend_address_pools[0].backend_ip_configurations), 1)
    with steps("rules of a security group"):
        same([each.name for each in network.security_rules.list(GROUP, "nsg-judge")], ["rdp"])
        assert "DenyAllInBound" in [each.name for each in network.default_security_rules.list(GROUP, "nsg-judge")]
        same(network.default_security_rules.get(GROUP, "nsg-judge", "DenyAllInBound").priority, 65500)
    with steps("subnet with a security group"):
        group = network.network_security_groups.get(GROUP, "nsg-judge")
        wanted = {"properties": {"addressPrefix": "10.9.0.0/24", "networkSecurityGroup": {"id": group.id}}}
        subnet = network.subnets.begin_create_or_update(GROUP, "vnet-judge", "default", wanted).result()
        same(subnet.network_security_group.id, group.id)
        guarded = network.network_security_groups.get(GROUP, "nsg-judge").subnets
        same([each.id for each in guarded], [subnet.id])
        same(len(network.subnets.get(GROUP, "vnet-judge", "default").ip_configurations), 1)
    with steps("security rule put and delete"):
        wanted = security_rule(priority=310, destinationPortRange="22")
        network.security_rules.begin_create_or_update(GROUP, "nsg-judge", "ssh", wanted).result()
        network.security_rules.begin_delete(GROUP, "nsg-judge", "ssh").result()
        same([each.name for each in network.security_rules.list(GROUP, "nsg-judge")], ["rdp"])


def gateway_refusals(steps, network):
    def rule(name, wanted):
        return lambda: network.inbound_nat_rules.begin_create_or_update(GROUP, "lb-judge", name, wanted).result()

    def security(name, **changes):
        return lambda: network.security_rules.begin_create_or_update(GROUP, "nsg-judge", name, security_rule(**changes)).result()

    with steps("NAT rule of both versions"):
        mixed = range_rule(network, 63033, 5986)
        mixed["properties"]["frontendPort"] = 63033
        code = "UnsupportedSetOfInboundNatRulePropertiesWhenFrontendPortIsSpecified"
        same(refused(400, rule("mixed", mixed)).error.code, code)
        del mixed["properties"]["frontendPortRangeEnd"], mixed["properties"]["frontendPortRangeStart"]
        same(refused(400, rule("mixed", mixed)).error.code, "MissedInboundNatRuleV2Properties")
    with steps("NAT rule on a port that is taken"):
        code = "RulesUseSameFrontendPortProtocolAndIPConfig"
        same(refused(400, rule("again", range_rule(network, 63022, 5986))).error.code, code)
    with steps("pool that is in use"):
        refused(400, lambda: network.load_balancer_backend_address_pools.begin_delete(GROUP, "lb-judge", "pool").result())
    with steps("load balancer put with a stale If-Match"):
        read = network.load_balancers.get(GROUP, "lb-judge")
        stale = {"If-Match": 'W/"00000000-0000-0000-0000-000000000000"'}
        refused(412, lambda: network.load_balancers.begin_create_or_update(GROUP, "lb-judge", read, headers=stale).result())
    with steps("Basic load balancer"):
        wanted = {"location": PLACE, "sku": {"name": "Basic"}, "properties": {"backendAddressPools": [{"name": "pool"}]}}
        refused(400, lambda: network.load_balancers.begin_create_or_update(GROUP, "lb-basic", wanted).result())
    with steps("security rules that are none"):
        same(refused(400, security("x", sourceAddressPrefix="203.0.113.7/24")).error.code, "SecurityRuleInvalidAddressPrefix")
        same(refused(400, security("x", destinationPortRange="80,443")).error.code, "SecurityRuleInvalidPortRange")
        same(refused(400, security("x", priority=99)).error.code, "SecurityRuleInvalidPriority")
        same(refused(400, security("x", priority=300)).error.code, "SecurityRuleConflict")
    with steps("security group that is in use"):
        error = refused(400, lambda: network.network_security_groups.begin_delete(GROUP, "nsg-judge").result())
        same(error.error.code, "InUseNetworkSecurityGroupCannotBeDeleted")
    with steps("subnet that is in use"):
        error = refused(400, lambda: network.subnets.begin_delete(GROUP, "vnet-judge", "default").result())
        same(error.error.code, "InUseSubnetCannotBeDeleted")
    with steps("interface put replaces: what is left out is gone"):
        network.network_interfaces.begin_create_or_update(GROUP, "nic-judge", card(network, in_pool=False)).result()
        left = network.network_interfaces.get(GROUP, "nic-judge")
        assert not left.ip_configurations[0].load_balancer_backend_address_pools, left.ip_configurations[0]
        assert left.network_security_group is None, left.network_security_group
        assert not network.load_balancer_backend_address_pools.get(GROUP, "lb-judge", "pool").backend_ip_configurations


def range_rule(network, port, backend):
    balancer = network.load_balancers.get(GROUP, "lb-judge")
    return {
        "properties": {
            "frontendIPConfiguration": {"id": balancer.frontend_ip_configurations[0].id},
            "backendAddressPool": {"id": balancer.backend_address_pools[0].id},
            "protocol": "Tcp",
            "frontendPortRangeStart": port,
            "frontendPortRangeEnd": port,
            "backendPort": backend,
        }
    }


def card(network, in_pool):
    """The body of the interface, with the pool and the security group or with nothing."""
    subnet = network.subnets.get(GROUP, "vnet-judge", "default")
    inner = {"subnet": {"id": subnet.id}}
    wanted = {"location": PLACE, "properties": {"ipConfigurations": [{"name": "ipconfig1", "properties": inner}]}}
    if in_pool:
        pool = network.load_balancer_backend_address_pools.get(GROUP, "lb-judge", "pool")
        inner["loadBalancerBackendAddressPools"] = [{"id": pool.id}]
        group = network.network_security_groups.get(GROUP, "nsg-judge")
        wanted["properties"]["networkSecurityGroup"] = {"id": group.id}
    return wanted


def security_rule(**changes):
    return {
        "properties": {
            "protocol": "Tcp",
            "access": "Allow",
            "direction": "Inbound",
            "priority": 400,
            "sourceAddressPrefix": "203.0.113.0/24",
            "sourcePortRange": "*",
            "destinationAddressPrefix": "*",
            "destinationPortRange": "3389",
            **changes,
        }
    }


def zone(steps, dns, cloud):
    with steps("zone put"):
        made = dns.zones.create_or_update(GROUP, "judge.example", {"location": "global"})
        assert made.name_servers, "a zone has its name servers"
    with steps("record set put"):
        made = dns.record_sets.create_or_update(GROUP, "judge.example", "www", "CNAME", cname(NAME))
        same((made.ttl, made.cname_record.cname.rstrip("."), made.metadata), (300, NAME, {"owner": "judge"}))
    with steps("record set get"):
        read = dns.record_sets.get(GROUP, "judge.example", "www", "CNAME")
        same((read.etag, read.fqdn), (made.etag, "www.judge.example."))
    with steps("record set is served by every name server"):
        for server in cloud.dns["azure"]:
            same(ask(server, "www.judge.example", "CNAME"), [f"{NAME}."])
    with steps("record set put with If-None-Match: *"):
        refused(412, lambda: dns.record_sets.create_or_update(GROUP, "judge.example", "www", "CNAME", cname("x.example"), if_none_match="*"))
    with steps("record set put with If-Match"):
        changed = dns.record_sets.create_or_update(GROUP, "judge.example", "www", "CNAME", cname("y.example"), if_match=read.etag)
        assert changed.etag != read.etag, "every write gives a new etag"
    with steps("record set put with a stale If-Match"):
        refused(412, lambda: dns.record_sets.create_or_update(GROUP, "judge.example", "www", "CNAME", cname(NAME), if_match=read.etag))
    with steps("record sets by type"):
        same([each.name for each in dns.record_sets.list_by_type(GROUP, "judge.example", "CNAME")], ["www"])
    with steps("record sets of the zone"):
        kinds = sorted((each.name, each.type.rsplit("/", 1)[1]) for each in dns.record_sets.list_by_dns_zone(GROUP, "judge.example"))
        same(kinds, [("@", "NS"), ("@", "SOA"), ("www", "CNAME")])
    with steps("record sets page by page"):
        names = [each.name for each in dns.record_sets.list_by_dns_zone(GROUP, "judge.example", top=1)]
        same(sorted(names), ["@", "@", "www"])
    with steps("all record sets of the zone"):
        same(len(list(dns.record_sets.list_all_by_dns_zone(GROUP, "judge.example", record_set_name_suffix="www"))), 1)
    with steps("record set delete"):
        dns.record_sets.delete(GROUP, "judge.example", "www", "CNAME")
        refused(404, lambda: dns.record_sets.get(GROUP, "judge.example", "www", "CNAME"))


def alias(steps, dns, address, cloud):
    with steps("alias record set follows the public IP"):
        wanted = {"properties": {"TTL": 60, "targetResource": {"id": address.id}}}
        made = dns.record_sets.create_or_update(GROUP, "judge.example", "@", "A", wanted)
        same(made.target_resource.id.lower(), address.id.lower())
        # Its address is the name servers' to give, not the record set's.
        for server in cloud.dns["azure"]:
            same(ask(server, "judge.example", "A"), [address.ip_address])


def zone_at_hand(steps, dns):
    with steps("zone that is there from the start"):
        same(dns.zones.get("rg-dns", ZONE).name, ZONE)
        assert ZONE in [each.name for each in dns.zones.list()]
        assert ZONE in [each.name for each in dns.zones.list_by_resource_group("rg-dns")]
    with steps("foreign records are there"):
        assert dns.record_sets.get("rg-dns", ZONE, "www", "A").a_records


def refusals(steps, network, dns):
    with steps("public IP without a SKU is Basic, and refused"):
        wanted = {"location": PLACE, "properties": {"publicIPAllocationMethod": "Dynamic"}}
        error = refused(400, lambda: network.public_ip_addresses.begin_create_or_update(GROUP, "pip-basic", wanted).result())
        same(error.error.code, "IPv4BasicSkuPublicIpCountLimitReached")
    with steps("label that is taken"):
        wanted = {
            "location": PLACE,
            "sku": {"name": "Standard"},
            "properties": {"publicIPAllocationMethod": "Static", "dnsSettings": {"domainNameLabel": "judge-jump"}},
        }
        error = refused(400, lambda: network.public_ip_addresses.begin_create_or_update(GROUP, "pip-second", wanted).result())
        same(error.error.code, "DnsRecordInUse")
    with steps("public IP that is in use"):
        error = refused(400, lambda: network.public_ip_addresses.begin_delete(GROUP, "pip-judge").result())
        same(error.error.code, "PublicIPAddressCannotBeDeleted")
    with steps("public IP that is not there"):
        refused(404, lambda: network.public_ip_addresses.get(GROUP, "pip-none"))
    with steps("CNAME beside another record"):
        refused(409, lambda: dns.record_sets.create_or_update("rg-dns", ZONE, "www", "CNAME", cname(NAME)))
    with steps("zone that is not there"):
        refused(404, lambda: dns.record_sets.get(GROUP, "none.example", "www", "CNAME"))


def taken_down(steps, network):
    with steps("load balancer delete"):
        network.load_balancers.begin_delete(GROUP, "lb-judge").result()
    with steps("public IP delete"):
        network.public_ip_addresses.begin_delete(GROUP, "pip-judge").result()
        refused(404, lambda: network.public_ip_addresses.get(GROUP, "pip-judge"))


def cname(target):
    return {"properties": {"TTL": 300, "metadata": {"owner": "judge"}, "CNAMERecord": {"cname": target}}}


def refused(status, call):
    """The error of a call that must be refused with `status`."""
    try:
        call()
    except HttpResponseError as error:
        same(error.status_code, status)
        return error
    raise AssertionError(f"answered instead of refused with {status}")


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
