// What the ARM judge knows beside the published documents: which document an exchange belongs to, which exchanges no
// document covers, and the few rules of Resource Manager that the documents leave open.
'use strict';

// The clients speak other api-versions than the documents at hand (the product 2024-03-01, the newest SDK 2026-03-01), so the
// version is rewritten to that of the document before an exchange is judged. Only the version changes: a member that a newer
// version added is then a finding, which is what we want of our own traffic.
const DOCUMENTS = [
  [/\/providers\/microsoft\.network\/(dnszones|getdnsresourcereference)/i, '2018-05-01'],
  [/\/providers\/microsoft\.network(\/|$)/i, '2024-01-01'],
  [/\/providers\/microsoft\.compute(\/|$)/i, '2024-03-01'],
  [/^\/subscriptions\/[^/]+\/(resourcegroups(\/[^/]+)?(\/resources)?|resources)\/?$/i, '2022-09-01'],
];

// Exchanges that no document at hand describes, each with the reason and with the check that stands in for one.
const UNCOVERED = [
  // subscriptions.json is not among the documents.
  { name: 'subscriptions and tenants', path: /^\/(subscriptions(\/[^/]+)?(\/locations)?|tenants)\/?$/i, check: listOrResource },
  // Traffic Manager has a document of its own; octoDNS asks for profiles wherever an alias might point at one.
  { name: 'traffic manager', path: /\/providers\/microsoft\.network\/trafficmanagerprofiles$/i, check: listOrResource },
  // Authorization's documents are not among those at hand. The shape is that of "Permissions - List For Resource Group", 2022-04-01.
  { name: 'permissions', path: /\/providers\/microsoft\.authorization\/permissions$/i, check: permissions },
  // `az` asks here for the endpoints of a cloud.
  { name: 'cloud endpoints', path: /^\/metadata\/endpoints$/i, check: () => [] },
  // Where long-running operations are polled is the service's own affair: the URL comes from a header, no document names it.
  // The body is that of "Track asynchronous Azure operations".
  { name: 'operation status', path: /\/locations\/[^/]+\/operations\/[^/]+$/i, check: operationStatus },
  { name: 'operation result', path: /\/locations\/[^/]+\/operationresults\/[^/]+$/i, check: () => [] },
];

// `…/dnsZones/{zone}/recordsets` and `…/all` also match `…/dnsZones/{zone}/{recordType}`; oav calls that ambiguous and judges
// neither. They are judged by a copy of the document from which the `{recordType}` list is left out.
const AMBIGUOUS = /\/dnszones\/[^/]+\/(recordsets|all)\/?$/i;

/** Where an exchange belongs: `{ uncovered }`, `{ version, ambiguous }`, or `{}` when nothing knows its path. */
function classify(exchange) {
  const path = pathOf(exchange);
  const uncovered = UNCOVERED.find(rule => rule.path.test(path));
  if (uncovered) return { uncovered };
  const document = DOCUMENTS.find(([pattern]) => pattern.test(path));
  return document ? { version: document[1], ambiguous: AMBIGUOUS.test(path) } : {};
}

/** The rules that hold for every exchange, whether a document covers it or not. */
function check(exchange) {
  const { liveRequest: request, liveResponse: response } = exchange;
  const status = Number(response.statusCode);
  return [
    ...secrets(request),
    ...correlation(response),
    ...(status >= 400 ? errorBody(pathOf(exchange), response.body) : []),
    ...(status === 201 || status === 202 ? longRunning(response, status) : []),
    ...(status < 300 ? openEnums(response.body).map(text => `response: ${text}`) : []),
    ...(judgesRequest(exchange) ? requestRules(request) : []),
  ];
}

function requestRules(request) {
  return [
    ...openEnums(request.body).map(text => `request: ${text}`),
    ...preconditions(request),
    ...(['PUT', 'PATCH'].includes(request.method) && !request.body ? ['request: no body'] : []),
  ];
}

/** The body of an error as the documents have it. Azure DNS answers `code` and `message` at the top, against its own document. */
function documentedError(exchange) {
  const body = exchange.liveResponse.body;
  const flat = body && typeof body === 'object' && !body.error && typeof body.code === 'string';
  return flat && isDns(pathOf(exchange)) ? { error: body } : body;
}

/** Whether the request was sent by the product itself. */
function isOurs(exchange) {
  return agentOf(exchange).startsWith('cnamed');
}

/**
 * Whether the request side is judged: always of ours; of other clients when it was not refused, since they are also made to ask
 * for refusals. A request without a user agent comes from the sandbox's own tests, which send on purpose what the services
 * tolerate (read-only members, another case) or refuse: of these the answers alone are judged.
 */
function judgesRequest(exchange) {
  return isOurs(exchange) || (agentOf(exchange) !== '' && Number(exchange.liveResponse.statusCode) < 400);
}

function agentOf(exchange) {
  return exchange.liveRequest.headers?.['user-agent'] ?? '';
}

// Tests plant this member to prove that what a later version of the service adds survives a write; no document can know it.
const PLANTED = /\/somethingNew$/;

/** False for a finding of oav that is meant to be there. */
function isFinding(error) {
  return !(error.code === 'OBJECT_ADDITIONAL_PROPERTIES' && [error.pathsInPayload].flat().every(place => PLANTED.test(place)));
}

function pathOf(exchange) {
  return new URL(exchange.liveRequest.url).pathname.replace(/\/{2,}/g, '/');
}

function isDns(path) {
  return /\/providers\/microsoft\.network\/dnszones/i.test(path);
}

function secrets(request) {
  const sent = request.headers?.authorization;
  return sent === undefined || sent === 'redacted' ? [] : ['the recording holds an authorization header'];
}

// Every answer of Resource Manager, errors too, carries the ids that support asks for.
function correlation(response) {
  return ['x-ms-request-id', 'x-ms-correlation-request-id']
    .filter(name => !response.headers?.[name])
    .map(name => `response: header ${name} is missing`);
}

function errorBody(path, body) {
  if (!body || typeof body !== 'object') return ['response: an error without a JSON body'];
  const error = body.error ?? (isDns(path) ? body : undefined);
  const complete = typeof error?.code === 'string' && typeof error?.message === 'string';
  return complete ? [] : ['response: an error without code and message where they belong'];
}

// "Track asynchronous Azure operations": 202 promises at least one place to ask, 201 to a PUT may do without.
function longRunning(response, status) {
  const headers = response.headers ?? {};
  const places = ['azure-asyncoperation', 'location'].map(name => headers[name]).filter(Boolean);
  const findings = places.filter(url => !isUrl(url)).map(url => `response: ${url} is not an absolute URL`);
  if (status === 202 && places.length === 0) findings.push('response: 202 names no place to ask');
  const wait = headers['retry-after'];
  if (wait !== undefined && !/^\d+$/.test(wait)) findings.push(`response: Retry-After ${wait} is not in whole seconds`);
  return findings;
}

function isUrl(text) {
  try {
    return Boolean(new URL(text).host);
  } catch {
    return false;
  }
}

// The documents mark these as open to new values (`modelAsString`), so that oav takes anything.
const VALUES = {
  publicIPAllocationMethod: ['Static', 'Dynamic'],
  publicIPAddressVersion: ['IPv4', 'IPv6'],
  privateIPAllocationMethod: ['Static', 'Dynamic'],
  domainNameLabelScope: ['TenantReuse', 'SubscriptionReuse', 'ResourceGroupReuse', 'NoReuse'],
  deleteOption: ['Delete', 'Detach'],
};
const SKU_NAMES = ['Basic', 'Standard', 'StandardV2', 'Gateway'];

function openEnums(value, at = '') {
  if (value === null || typeof value !== 'object') return [];
  return Object.entries(value).flatMap(([key, inner]) => {
    const place = `${at}/${key}`;
    if (VALUES[key] && !VALUES[key].includes(inner)) return [`${place} is ${JSON.stringify(inner)}`];
    if (key === 'sku' && (typeof inner !== 'object' || !SKU_NAMES.includes(inner?.name ?? 'Basic'))) return [`${place} is ${JSON.stringify(inner)}`];
    return openEnums(inner, place);
  });
}

function preconditions(request) {
  const { 'if-match': match, 'if-none-match': none } = request.headers ?? {};
  const findings = [];
  if (match !== undefined && none !== undefined) findings.push('request: If-Match together with If-None-Match');
  if (none !== undefined && none !== '*') findings.push(`request: If-None-Match ${none} is not *`);
  if (match === '') findings.push('request: If-Match is empty');
  return findings;
}

function operationStatus({ liveResponse: response }) {
  if (Number(response.statusCode) !== 200 && Number(response.statusCode) !== 202) return [];
  const { status, error } = response.body ?? {};
  if (typeof status !== 'string') return ['response: an operation without a status'];
  if (status === 'Failed' && !(error?.code && error?.message)) return ['response: a failed operation without its error'];
  if (status === 'Succeeded' && error) return ['response: an operation that succeeded with an error'];
  return [];
}

function permissions(exchange) {
  const { liveRequest: request, liveResponse: response } = exchange;
  const version = new URL(request.url).searchParams.get('api-version');
  const findings = isOurs(exchange) && version !== '2022-04-01' ? [`request: permissions by api-version ${version}`] : [];
  if (Number(response.statusCode) !== 200) return findings;
  const strings = list => Array.isArray(list) && list.every(text => typeof text === 'string');
  const members = ['actions', 'notActions', 'dataActions', 'notDataActions'];
  const value = response.body?.value;
  const right = Array.isArray(value) && value.every(one => members.every(member => strings(one?.[member])));
  return right ? findings : [...findings, 'response: not a list of permissions'];
}

function listOrResource({ liveResponse: response }) {
  if (Number(response.statusCode) >= 400) return [];
  const { value, id } = response.body ?? {};
  return Array.isArray(value) || typeof id === 'string' ? [] : ['response: neither a list nor a resource'];
}

module.exports = { classify, check, documentedError, isFinding, isOurs, judgesRequest };
