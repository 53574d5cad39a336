// Proves the ARM judge before it judges: every official example must pass, and each kind of fault put into one must be found.
//
//   node selftest_arm.js SPECS WORK
'use strict';

const fs = require('node:fs');
const path = require('node:path');
const { Judge } = require('./judge_arm.js');

const NETWORK = 'specification/network/resource-manager/Microsoft.Network/stable/2024-01-01';
const DOCUMENTS = [
  ...['publicIpAddress', 'checkDnsAvailability', 'loadBalancer', 'networkSecurityGroup', 'networkInterface', 'virtualNetwork'].map(name => `${NETWORK}/${name}.json`),
  'specification/dns/resource-manager/Microsoft.Network/stable/2018-05-01/dns.json',
];

/** Each official example as the exchanges that it describes: one for each answer. */
function examples(specs) {
  return DOCUMENTS.flatMap(document => {
    const { paths } = read(path.join(specs, document));
    return Object.entries(paths).flatMap(([template, item]) =>
      Object.entries(item).flatMap(([method, operation]) =>
        Object.values(operation['x-ms-examples'] ?? {}).flatMap(({ $ref }) => {
          const file = path.join(specs, path.dirname(document), $ref);
          return fs.existsSync(file) ? answers(template, method, operation, read(file)) : [];
        }),
      ),
    );
  });
}

function answers(template, method, operation, { parameters, responses }) {
  const url = new URL('https://management.azure.com');
  url.pathname = template.replace(/\{(\w+)\}/g, (_, name) => parameters[name]);
  const headers = { 'user-agent': 'cnamed/0.1.0' };
  let body = null;
  for (const [name, value] of Object.entries(parameters)) {
    const declared = (operation.parameters ?? []).find(parameter => parameter.name === name);
    if (declared?.in === 'body') body = value;
    else if (declared?.in === 'header') headers[name.toLowerCase()] = String(value);
    else if (declared?.in === 'query' || name === 'api-version') url.searchParams.set(name, value);
  }
  if (body) headers['content-type'] = 'application/json';
  return Object.entries(responses).map(([statusCode, answer]) => ({
    operation: operation.operationId,
    service: 'arm',
    liveRequest: { method: method.toUpperCase(), url: url.href, headers, body },
    liveResponse: {
      statusCode,
      headers: { 'content-type': 'application/json', 'x-ms-request-id': '1', 'x-ms-correlation-request-id': '2', location: url.href },
      body: answer.body ?? null,
    },
  }));
}

const PUT_IP = ['PublicIPAddresses_CreateOrUpdate', '201'];
const GET_FRONTEND = ['LoadBalancerFrontendIPConfigurations_Get', '200'];
const GET_IP = ['PublicIPAddresses_Get', '200'];
const PUT_SET = ['RecordSets_CreateOrUpdate', '201'];
const LIST_SETS = ['RecordSets_ListByDnsZone', '200'];
const DELETE_IP = ['PublicIPAddresses_Delete', '202'];

// What is broken, in which example, how. A row that the judge does not notice fails the test.
const FAULTS = [
  ['unknown member in a request', PUT_IP, ({ liveRequest: q }) => (q.body.properties = { ...q.body.properties, speed: 1 })],
  ['mis-cased member in a request', PUT_IP, ({ liveRequest: q }) => (q.body.properties = { dnssettings: { domainNameLabel: 'a' } })],
  ['read-only member in a request', PUT_IP, ({ liveRequest: q }) => (q.body.properties = { provisioningState: 'Succeeded' })],
  ['wrong type in a request', PUT_IP, ({ liveRequest: q }) => (q.body.properties = { idleTimeoutInMinutes: '4' })],
  ['scalar for an object', PUT_IP, ({ liveRequest: q }) => (q.body.sku = 'Standard')],
  ['value outside an open enumeration', PUT_IP, ({ liveRequest: q }) => (q.body.properties = { publicIPAllocationMethod: 'static' })],
  ['request without its body', PUT_IP, ({ liveRequest: q }) => (q.body = null)],
  ['both preconditions', PUT_IP, ({ liveRequest: q }) => Object.assign(q.headers, { 'if-match': '"1"', 'if-none-match': '*' })],
  ['secret in the recording', PUT_IP, ({ liveRequest: q }) => (q.headers.authorization = 'Bearer ey')],
  ['unknown member in an answer', GET_IP, ({ liveResponse: r }) => (r.body.properties.speed = 1)],
  ['wrong type in an answer', GET_IP, ({ liveResponse: r }) => (r.body.properties.idleTimeoutInMinutes = '4')],
  ['answer without the id', GET_IP, ({ liveResponse: r }) => delete r.body.id],
  ['null for a sub-resource', GET_IP, ({ liveResponse: r }) => (r.body.properties.ipConfiguration = null)],
  ['wrong content type', GET_IP, ({ liveResponse: r }) => (r.headers['content-type'] = 'text/plain')],
  ['undeclared status', GET_IP, ({ liveResponse: r }) => Object.assign(r, { statusCode: '204', body: null })],
  ['flat network error', GET_IP, ({ liveResponse: r }) => Object.assign(r, { statusCode: '404', body: { code: 'NotFound', message: 'x' } })],
  ['error as text', GET_IP, ({ liveResponse: r }) => Object.assign(r, { statusCode: '404', body: 'not found' })],
  ['error without a message', GET_IP, ({ liveResponse: r }) => Object.assign(r, { statusCode: '404', body: { error: { code: 'NotFound' } } })],
  ['answer without correlation', GET_IP, ({ liveResponse: r }) => delete r.headers['x-ms-request-id']],
  ['unknown path', GET_IP, ({ liveRequest: q }) => (q.url = q.url.replace('publicIPAddresses', 'publicAddresses'))],
  ['answer without an api-version', GET_IP, ({ liveRequest: q }) => (q.url = q.url.replace(/\?.*/, ''))],
  ['nowhere to ask after 202', DELETE_IP, ({ liveResponse: r }) => delete r.headers.location],
  ['Retry-After as a fraction', DELETE_IP, ({ liveResponse: r }) => (r.headers['retry-after'] = '0.5')],
  ['mis-cased ttl', PUT_SET, ({ liveRequest: q }) => (q.body.properties = { ttl: 300 })],
  ['ttl as text', PUT_SET, ({ liveRequest: q }) => (q.body.properties.TTL = '300')],
  ['unknown record type in the path', PUT_SET, ({ liveRequest: q }) => (q.url = q.url.replace(/\/A\//, '/ALIAS/'))],
  ['unknown member in a list', LIST_SETS, ({ liveResponse: r }) => (r.body.value[0].properties.speed = 1)],
  ['list that is not one', LIST_SETS, ({ liveResponse: r }) => (r.body.value = {})],
  ['rule without its priority', ['SecurityRules_CreateOrUpdate', '200'], ({ liveRequest: q }) => delete q.body.properties.priority],
  ['protocol as a number', ['InboundNatRules_CreateOrUpdate', '200'], ({ liveRequest: q }) => (q.body.properties.protocol = 7)],
];

// Answers that contradict a document and are right all the same, or that no document covers.
const EXCEPTIONS = [
  ['flat Azure DNS error', PUT_SET, ({ liveResponse: r }) => Object.assign(r, { statusCode: '412', body: { code: 'PreconditionFailed', message: 'x' } })],
  ['newer api-version', GET_IP, ({ liveRequest: q }) => (q.url = q.url.replace(/api-version=[^&]+/, 'api-version=2026-03-01'))],
  ['running operation', GET_IP, polled({ status: 'InProgress' })],
  ['failed operation', GET_IP, polled({ status: 'Failed', error: { code: 'X', message: 'x', details: [] } })],
  ['permissions', GET_IP, granted({ value: [{ actions: ['*/read'], notActions: [], dataActions: [], notDataActions: [] }] })],
  ['member from the future', GET_IP, ({ liveResponse: r }) => (r.body.properties.somethingNew = {})],
  ['refusal of a bad request', PUT_IP, exchange => Object.assign(exchange, refused('azsdk'))],
  ['tolerated request of a test', PUT_IP, tolerated],
  ['method that no document has', GET_FRONTEND, exchange => unsupported(exchange, 'DELETE')],
];
FAULTS.push(
  ['permissions without what is taken away', GET_IP, granted({ value: [{ actions: ['*/read'], dataActions: [] }] })],
  ['failed operation without its error', GET_IP, polled({ status: 'Failed' })],
  ['unsupported method that a document has, without the error', GET_FRONTEND, ({ liveResponse }) => Object.assign(liveResponse, { statusCode: '405', body: null })],
  ['bad request of our own', PUT_IP, exchange => Object.assign(exchange, refused('cnamed/0.1.0'))],
);

function unsupported(exchange, method) {
  exchange.liveRequest.method = method;
  Object.assign(exchange.liveResponse, { statusCode: '405', body: { error: { code: 'HttpMethodNotSupported', message: 'x' } } });
}

function tolerated({ liveRequest }) {
  delete liveRequest.headers['user-agent'];
  liveRequest.body.properties = { provisioningState: 'Succeeded' };
}

function polled(body) {
  return ({ liveRequest, liveResponse }) => {
    liveRequest.url = liveRequest.url.replace(/resourceGroups\/.*\?/, 'providers/Microsoft.Network/locations/westus/operations/1?');
    liveResponse.body = body;
  };
}

function granted(body) {
  return ({ liveRequest, liveResponse }) => {
    liveRequest.url = liveRequest.url.replace(/providers\/.*/, 'providers/Microsoft.Authorization/permissions?api-version=2022-04-01');
    liveResponse.body = body;
  };
}

function refused(agent) {
  return {
    liveRequest: { ...refused.request, headers: { 'user-agent': agent, 'content-type': 'application/json' } },
    liveResponse: { ...refused.response, statusCode: '400', body: { error: { code: 'InvalidRequestFormat', message: 'x' } } },
  };
}

async function main([specs, work]) {
  const judge = await Judge.create(specs, work);
  const good = examples(specs);
  let passed = 0;
  let failed = 0;
  const verdict = (right, text, findings) => {
    passed += right ? 1 : 0;
    failed += right ? 0 : 1;
    if (!right) console.log(`${text}\n    ${findings.join('\n    ')}`);
  };
  for (const exchange of good) {
    const { findings } = await judge.judge(exchange);
    verdict(findings.length === 0, `official example refused: ${exchange.operation} ${exchange.liveResponse.statusCode}`, findings);
  }
  const put = find(good, PUT_IP);
  refused.request = { ...put.liveRequest, body: { location: 1 } };
  refused.response = put.liveResponse;
  for (const [rows, found] of [[FAULTS, true], [EXCEPTIONS, false]]) {
    for (const [name, which, change] of rows) {
      const exchange = structuredClone(find(good, which));
      change(exchange);
      const { findings } = await judge.judge(exchange);
      verdict(findings.length > 0 === found, found ? `fault not found: ${name}` : `refused: ${name}`, findings);
    }
  }
  console.log(`arm selftest: ${passed} passed, ${failed} failed (${good.length} examples, ${FAULTS.length} faults, ${EXCEPTIONS.length} exceptions)`);
  return failed === 0 && good.length > 0 ? 0 : 1;
}

function find(good, [operation, status]) {
  const exchange = good.find(({ operation: id, liveResponse }) => id === operation && liveResponse.statusCode === status);
  if (!exchange) throw new Error(`no official example of ${operation} ${status}`);
  return exchange;
}

function read(file) {
  return JSON.parse(fs.readFileSync(file, 'utf8').replace(/^\uFEFF/, ''));
}

main(process.argv.slice(2)).then(
  code => process.exit(code),
  error => {
    console.error(error);
    process.exit(1);
  },
);
