use reqwest::StatusCode;
use reqwest::header::{HeaderMap, HeaderValue};

use super::*;

fn refused(status: u16, body: &str) -> Refusal {
    let mut headers = HeaderMap::new();
    headers.insert("content-type", HeaderValue::from_static("application/json"));
    headers.insert("x-ms-request-id", HeaderValue::from_static("6b1f"));
    let status = StatusCode::from_u16(status).unwrap();
    Refusal::of(&Response { status, headers, body: body.to_owned().into() })
}

fn coded(status: u16, code: &str) -> Refusal {
    refused(status, &format!(r#"{{"error":{{"code":"{code}","message":"As it happens."}}}}"#))
}

/// The codes that Microsoft's services are known to send, written down apart from the table that explains them.
const KNOWN: &[(u16, &str, Kind)] = &[
    (400, "IPv4BasicSkuPublicIpCountLimitReached", Kind::Rejected),
    (400, "StandardSkuPublicIPAddressesMustBeStatic", Kind::Rejected),
    (400, "PublicIPAndLBSkuDoNotMatch", Kind::Rejected),
    (400, "DifferentSkuLoadBalancersAndPublicIPAddressNotAllowed", Kind::Rejected),
    (400, "ZonesNotAllowedInBasicSkuResource", Kind::Rejected),
    (400, "PublicIPCountLimitReached", Kind::Rejected),
    (400, "StaticPublicIPCountLimitReached", Kind::Rejected),
    (400, "PublicIPAddressCannotBeDeleted", Kind::Rejected),
    (400, "PublicIPAddressInUse", Kind::Rejected),
    (400, "DnsRecordInUse", Kind::Rejected),
    (400, "DnsRecordIsReserved", Kind::Rejected),
    (400, "DomainNameLabelReserved", Kind::Rejected),
    (400, "InvalidDomainNameLabel", Kind::Rejected),
    (400, "ReverseFqdnDoesNotBelongToSubscription", Kind::Rejected),
    (424, "ReferencedResourceNotProvisioned", Kind::Rejected),
    (409, "AnotherOperationInProgress", Kind::Throttled(PATIENCE)),
    (429, "AnotherOperationInProgress", Kind::Throttled(PATIENCE)),
    (429, "RetryableError", Kind::Throttled(PATIENCE)),
    (429, "RetryableErrorDueToAnotherOperation", Kind::Throttled(PATIENCE)),
    (409, "CanceledAndSupersededDueToAnotherOperation", Kind::Stale),
    (412, "PreconditionFailed", Kind::Stale),
    (403, "AuthorizationFailed", Kind::Denied),
    (401, "ExpiredAuthenticationToken", Kind::Denied),
    (401, "InvalidAuthenticationToken", Kind::Denied),
    (404, "SubscriptionNotFound", Kind::Denied),
    (404, "ResourceGroupNotFound", Kind::Missing),
    (404, "ParentResourceNotFound", Kind::Missing),
    (404, "ResourceNotFound", Kind::Missing),
    (404, "NotFound", Kind::Missing),
    (409, "CannotCreateRecordDueToCNameNamingRestriction", Kind::Rejected),
];

#[test]
fn every_known_code_has_a_kind_and_a_next_step() {
    for (status, code, kind) in KNOWN {
        let error = coded(*status, code).into_error("write", "pip-jump");
        assert_eq!(error.kind(), *kind, "{code}");
        let step = error.next_step().unwrap_or_else(|| panic!("{code} has no next step"));
        assert!(step.len() > 20 && !step.ends_with('.'), "{code}: {step}");
        assert!(error.chain().contains(code), "{}", error.chain());
    }
}

#[test]
fn the_code_decides_and_not_the_status() {
    for status in [400, 404, 409, 412, 429, 500] {
        assert_eq!(coded(status, "DnsRecordInUse").meaning(), Meaning::Rejected, "{status}");
        assert_eq!(coded(status, "AnotherOperationInProgress").meaning(), Meaning::Busy, "{status}");
    }
}

#[test]
fn without_a_known_code_the_status_decides() {
    for (status, meaning) in [
        (400, Meaning::Rejected),
        (401, Meaning::Denied),
        (403, Meaning::Denied),
        (404, Meaning::Missing),
        (409, Meaning::Rejected),
        (412, Meaning::Stale),
        (429, Meaning::Busy),
        (500, Meaning::Broken),
        (502, Meaning::Broken),
        (503, Meaning::Busy),
    ] {
        assert_eq!(coded(status, "NeverHeardOf").meaning(), meaning, "{status}");
    }
}

#[test]
fn the_useful_code_may_be_only_in_the_details() {
    let body = r#"{"error":{"code":"Canceled","message":"Operation was canceled.","details":[
        {"code":"CanceledAndSupersededDueToAnotherOperation","message":"Operation PutPublicIpAddressOperation (6b) was canceled and superseded by operation 7c."}]}}"#;
    let refusal = refused(409, body);
    assert_eq!(refusal.meaning(), Meaning::Stale);
    assert_eq!(
        refusal.to_string(),
        "Canceled: Operation was canceled; CanceledAndSupersededDueToAnotherOperation: Operation \
         PutPublicIpAddressOperation (6b) was canceled and superseded by operation 7c (request id 6b1f)"
    );
}

#[test]
fn the_useful_code_may_be_only_in_the_inner_error() {
    let body = r#"{"error":{"code":"BadRequest","message":"no","innererror":{"code":"Outer","innererror":{"code":"DnsRecordInUse"}}}}"#;
    assert_eq!(refused(400, body).meaning(), Meaning::Rejected);
    assert!(refused(400, body).remedy().unwrap().contains("label"));
    let text = r#"{"error":{"code":"DnsRecordInUse","message":"no","details":[],"innererror":"Microsoft.WindowsAzure.Networking.Nrp…"}}"#;
    assert!(refused(400, text).is("DnsRecordInUse"));
}

#[test]
fn the_dns_provider_s_top_level_shape_is_read() {
    let pending = r#"{"code":"Conflict","message":"Another operation is pending for requested object."}"#;
    assert_eq!(refused(409, pending).meaning(), Meaning::Busy);
    for naming in [
        "The CNAME record could not be created because another record with the same name already exists in this zone.",
        "The record could not be created because a CNAME record with the same name already exists in this zone.",
    ] {
        let refusal = refused(409, &format!(r#"{{"code":"Conflict","message":"{naming}"}}"#));
        assert_eq!(refusal.meaning(), Meaning::Rejected, "{naming}");
        assert!(refusal.remedy().unwrap().contains("stands alone"));
    }
    let lost = r#"{"code":"PreconditionFailed","message":"The condition '*' in the If-None-Match header was not satisfied."}"#;
    assert_eq!(refused(412, lost).meaning(), Meaning::Stale);
}

#[test]
fn a_missing_permission_is_named_with_its_scope() {
    let body = r#"{"error":{"code":"AuthorizationFailed","message":"The client 'c' with object id 'o' does not have authorization to perform action 'Microsoft.Network/publicIPAddresses/write' over scope '/subscriptions/s/resourceGroups/rg' or the scope is invalid."}}"#;
    let remedy = refused(403, body).remedy().unwrap();
    assert!(
        remedy.starts_with(
            "grant \"Microsoft.Network/publicIPAddresses/write\" on /subscriptions/s/resourceGroups/rg"
        ),
        "{remedy}"
    );
}

#[test]
fn what_is_not_an_error_document_is_told_as_what_it_is() {
    let mut headers = HeaderMap::new();
    headers.insert("content-type", HeaderValue::from_static("text/html; charset=utf-8"));
    let response = Response { status: StatusCode::BAD_GATEWAY, headers, body: "<html>oops</html>".into() };
    let refusal = Refusal::of(&response);
    assert_eq!(refusal.to_string(), "HTTP 502: text/html where JSON was promised");
    assert_eq!(refusal.meaning(), Meaning::Broken);
    assert!(!refused(404, "<html>").is_absence(), "a page that is not Azure's says nothing of a resource");
    assert!(coded(404, "ResourceNotFound").is_absence());
    assert!(!coded(404, "SubscriptionNotFound").is_absence());
}

#[test]
fn a_failed_operation_keeps_its_details() {
    let document = serde_json::json!({"status": "Failed", "error": {"code": "InternalServerError", "message": "An error occurred.",
        "details": [{"code": "PublicIPCountLimitReached", "message": "Cannot create more than 20 public IP addresses."}]}});
    let refusal = Refusal::of_operation("Failed", &document, Some("77"));
    assert_eq!(refusal.meaning(), Meaning::Rejected);
    assert!(refusal.to_string().contains("Cannot create more than 20"));
    let bare = Refusal::of_operation("Canceled", &serde_json::json!({"status": "Canceled"}), None);
    assert_eq!(bare.to_string(), "Canceled: Azure gave no reason");
}

#[test]
fn hostile_nesting_ends() {
    let mut body = String::from("{}");
    for _ in 0..60 {
        body = format!(r#"{{"code":"x","details":[{body}]}}"#);
    }
    assert!(refused(400, &body).to_string().len() < 100);
}

#[test]
fn a_reference_that_was_refused_is_told_by_the_action_that_is_missing() {
    let message = "The client 'c' with object id 'o' has permission to perform action \
                   'Microsoft.Network/networkInterfaces/write' on scope '/nic'; however, it does not have permission to \
                   perform action(s) 'Microsoft.Network/virtualNetworks/subnets/join/action' on the linked scope(s) \
                   '/vnet/subnets/default' (respectively) or the linked scope(s) are invalid.";
    let body = serde_json::json!({"error": {"code": "LinkedAuthorizationFailed", "message": message}});
    let error = refused(403, &body.to_string()).into_error("update", "vm-jump-nic");
    let step = error.next_step().unwrap();
    assert!(
        step.starts_with(
            "grant \"Microsoft.Network/virtualNetworks/subnets/join/action\" on /vnet/subnets/default"
        ),
        "{step}"
    );
}
